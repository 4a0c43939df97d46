/*
 * What is found when the program starts: a service that is sound, with one mistake at a time.
 */
#include "tests/unit/unit.h"
#include "worker/service_check.h"
#include <string.h>

struct config {
    uint32_t number;
    struct sock_address address;
};

static struct option_row options[3];
static struct service service, other;
static const struct service *list[3] = {&service, &other, NULL};
static const struct option_row general[] = {{"idle_timeout", OPTION_TIME, 0, 0, 0, NULL, NULL, "1s", "a time"}, {0}};

static enum verdict on_message(struct session *session, const char *bytes, size_t size)
{
    (void)session;
    (void)bytes;
    (void)size;
    return SESSION_CONTINUE;
}

static enum verdict on_ready(struct session *session, int fd, uint32_t events)
{
    (void)session;
    (void)fd;
    (void)events;
    return SESSION_CONTINUE;
}

static void on_oversize(struct session *session)
{
    (void)session;
}

static ssize_t measure(const char *bytes, size_t size)
{
    (void)bytes;
    return (ssize_t)size;
}

static void tick(struct section *section)
{
    (void)section;
}

static int configure(void *config, struct option_error *error)
{
    (void)config;
    (void)error;
    return 0;
}

static void make_sound(void)
{
    options[0] = (struct option_row){"number", OPTION_INT, offsetof(struct config, number), 1, 10, NULL, NULL,
                                     "1",      "a number"};
    options[1] = (struct option_row){"address",     OPTION_ADDRESS, offsetof(struct config, address), 0, 0, NULL, NULL,
                                     "127.0.0.1:1", "an address"};
    service = (struct service){.name = "sound",
                               .framing = {.kind = FRAMING_FUNCTION, .measure = measure},
                               .max_frame = 1024,
                               .state_size = 64,
                               .options = options,
                               .config_size = sizeof(struct config),
                               .tick = tick,
                               .tick_ms = 8,
                               .configure = configure,
                               .message = on_message};
    other = (struct service){.name = "other-1", .ready = on_ready};
}

static void expect(const char *sentence)
{
    char error[256] = "";

    CU_ASSERT_EQUAL(service_check(list, general, error, sizeof(error)), sentence ? -1 : 0);
    if (sentence ? !strstr(error, sentence) : error[0] != '\0')
        printf("\n    %s", error);
    CU_ASSERT(sentence ? strstr(error, sentence) != NULL : error[0] == '\0');
    make_sound();
}

static void test_sound(void)
{
    make_sound();
    expect(NULL);
}

static void test_names(void)
{
    make_sound();
    other.name = "sound";
    expect("service 'sound': there are two of that name");
    service.name = NULL;
    expect("no name");
    service.name = "";
    expect("no name");
    service.name = "So und";
    expect("service 'So und': that is no name");
}

static void test_callbacks(void)
{
    make_sound();
    service.message = NULL;
    expect("neither `message` nor `ready`");
    other.message = on_message;
    expect("service 'other-1': with `ready` it reads itself");
    other.oversize = on_oversize;
    expect("would never be called");
    service.framing.measure = NULL;
    expect("FRAMING_FUNCTION needs");
    service.framing.kind = FRAMING_LINE;
    expect("`measure` is of use");
    service.framing.kind = (enum framing_kind)77;
    expect("no framing 77");
    service.framing.kind = FRAMING_BLOCK;
    expect("FRAMING_BLOCK needs a block_size");
    service.tick_ms = 7;
    expect("tick_ms = 7");
    service.tick = NULL;
    expect("tick_ms without `tick`");
}

static void test_sizes(void)
{
    make_sound();
    service.max_frame = 15;
    expect("max_frame = 15: must be 16 to 67108864");
    service.max_frame = (64 << 20) + 1;
    expect("max_frame");
    service.shared_size = (1 << 30) + 1;
    expect("shared_size = 1073741825: 1073741824 at most");
    service.state_size = (1 << 20) + 1;
    expect("state_size = 1048577");
    service.options = NULL;
    service.config_size = 0;
    expect("`configure` without a config_size");
}

static void test_counters(void)
{
    static const char names[17][3] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                      "j", "k", "l", "m", "n", "o", "p", "q"};
    struct counter_row counters[18] = {{0}};

    make_sound();
    for (unsigned i = 0; i < 16; i++)
        counters[i] = (struct counter_row){.name = names[i], .help = "what it counts"};
    service.counters = counters;
    expect(NULL);
    counters[16] = (struct counter_row){.name = names[16], .help = "one too many"};
    service.counters = counters;
    expect("more than 16 counters");
    counters[2].help = "";
    service.counters = counters;
    expect("the counter c has no line of help");
    counters[1].name = "a";
    service.counters = counters;
    expect("the counter a stands in its table twice");
    counters[0].name = "\"";
    service.counters = counters;
    expect("'\"' is no name for a counter");
    counters[0].name = "a-b";
    service.counters = counters;
    expect("'a-b' is no name for a counter: a-z, 0-9 and _");
}

static void test_options(void)
{
    make_sound();
    service.config_size = sizeof(struct config) - 1;
    expect("too small for the key address");
    service.config_size = 3;
    expect("config_size = 3 is too small for the key number");
    options[1].name = "number";
    expect("the key number stands in its table twice");
    options[0].name = "idle_timeout";
    expect("the key idle_timeout is every section's already");
    options[0].name = "bind";
    expect("the key bind");
    options[0].name = "a b";
    expect("'a b' is no name for a key");
    options[0].help = NULL;
    expect("no line of help");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"sound", test_sound},
        {"names", test_names},
        {"callbacks", test_callbacks},
        {"sizes", test_sizes},
        {"options", test_options},
        {"counters", test_counters},
        {0},
    };
    return unit_main("service_check", tests);
}
