/*
 * Requests to the master, over a control pipe that the test reads: they are few, they wait for room, each is answered
 * once, and what nobody waits for is closed.
 */
#include "common/channel.h"
#include "tests/unit/unit.h"
#include "worker/admin.h"
#include "worker/ask.h"
#include <fcntl.h>
#include <string.h>

static int fds[2]; /* the master's end, the worker's */
static unsigned answers;
static uint64_t answered_user;
static struct request_answer last;
static int last_fd;

static void answered(uint64_t user, const struct request_answer *answer, int fd)
{
    answers++;
    answered_user = user;
    last = *answer;
    last_fd = fd;
}

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_open(fds), 0);
    answers = 0;
}

static void end(void)
{
    CU_ASSERT_EQUAL(asks_waiting, 0);
    close(fds[0]);
    close(fds[1]);
}

/* The next request, as the master gets it. */
static struct request receive(void)
{
    struct channel_message message = {0};

    CU_ASSERT_EQUAL_FATAL(channel_receive(fds[0], &message, NULL), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.type, CHANNEL_REQUEST);
    return message.request;
}

static void expect_nothing(void)
{
    struct channel_message message;

    CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_AGAIN);
}

static void answer(uint32_t id, const char *text, int fd)
{
    struct request_answer given = {.id = id, .is_refused = 1};

    snprintf(given.text, sizeof(given.text), "%s", text);
    ask_answered(&given, fd);
}

static void test_ask(void)
{
    begin();
    uint32_t id = admin_ask(REQUEST_RESIZE, 3, "main", answered, 4711);
    CU_ASSERT_NOT_EQUAL(id, 0);
    CU_ASSERT_EQUAL(asks_waiting, 1);
    expect_nothing(); /* until the end of the turn */
    ask_send(fds[1]);
    ask_send(fds[1]);
    struct request request = receive();
    CU_ASSERT(request.id == id && request.kind == REQUEST_RESIZE && request.number == 3);
    CU_ASSERT_STRING_EQUAL(request.name, "main");
    expect_nothing();
    answer(id, "no", -1);
    CU_ASSERT(answers == 1 && answered_user == 4711 && last.id == id && last.is_refused && last_fd == -1);
    CU_ASSERT_STRING_EQUAL(last.text, "no");
    answer(id, "no", -1); /* once */
    CU_ASSERT_EQUAL(answers, 1);
    end();
}

static void test_a_name_that_is_too_long(void)
{
    char name[2 * REQUEST_NAME_SIZE];

    begin();
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    uint32_t id = admin_ask(REQUEST_RESTART, 0, name, answered, 1);
    ask_send(fds[1]);
    struct request request = receive();
    CU_ASSERT_EQUAL(strnlen(request.name, sizeof(request.name)), REQUEST_NAME_SIZE - 1);
    answer(id, "", -1);
    end();
}

/* Each has an id of its own, and may be answered in any order. */
static void test_sixteen(void)
{
    uint32_t ids[ASKS_MAX];

    begin();
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        ids[i] = admin_ask(REQUEST_DRAIN, i, "", answered, i);
        CU_ASSERT_NOT_EQUAL(ids[i], 0);
        for (unsigned j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(ids[i], ids[j]);
    }
    CU_ASSERT_EQUAL(admin_ask(REQUEST_DRAIN, 16, "", answered, 16), 0);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    ask_send(fds[1]);
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        struct request request = receive();
        CU_ASSERT(request.id == ids[i] && request.number == i);
    }
    expect_nothing();
    CU_ASSERT_EQUAL(admin_ask(REQUEST_DRAIN, 16, "", answered, 16), 0); /* sent is not answered */
    for (unsigned i = ASKS_MAX; i-- > 0;) {
        answer(ids[i], "", -1);
        CU_ASSERT_EQUAL(answered_user, i);
    }
    CU_ASSERT_EQUAL(answers, ASKS_MAX);
    uint32_t id = admin_ask(REQUEST_DRAIN, 0, "", answered, 77);
    CU_ASSERT_NOT_EQUAL(id, 0);
    answer(ids[0], "", -1); /* an old answer is none to a new request */
    CU_ASSERT_EQUAL(answers, ASKS_MAX);
    ask_send(fds[1]);
    answer(id, "", -1);
    CU_ASSERT_EQUAL(answered_user, 77);
    end();
}

static void test_descriptors(void)
{
    begin();
    uint32_t id = admin_ask(REQUEST_INSPECT, 1, "", answered, 1);
    int early = dup(0);
    answer(id, "", early); /* it has not been asked for yet */
    CU_ASSERT(answers == 0 && fcntl(early, F_GETFD) < 0);
    ask_send(fds[1]);
    int none = dup(0);
    answer(id + 1, "", none);
    CU_ASSERT(answers == 0 && fcntl(none, F_GETFD) < 0);
    none = dup(0);
    answer(0, "", none); /* the id of a place that is free */
    CU_ASSERT(answers == 0 && fcntl(none, F_GETFD) < 0);
    int ours = dup(0);
    answer(id, "", ours);
    CU_ASSERT(answers == 1 && last_fd == ours && fcntl(ours, F_GETFD) >= 0); /* of whoever has asked */
    close(ours);
    end();
}

/* They go when there is room again, each once. */
static void test_a_full_pipe(void)
{
    struct channel_message message;
    unsigned filled = 0;
    uint32_t ids[2];

    begin();
    while (channel_send(fds[1], CHANNEL_LEAVING, 0) == CHANNEL_OK)
        filled++;
    ids[0] = admin_ask(REQUEST_STOP, 0, "", answered, 1);
    ids[1] = admin_ask(REQUEST_RELOAD, 0, "", answered, 2);
    ask_send(fds[1]);
    CU_ASSERT_EQUAL(asks_waiting, 2);
    for (; filled > 0; filled--)
        CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_OK);
    expect_nothing();
    ask_send(fds[1]);
    CU_ASSERT_EQUAL(receive().id, ids[0]);
    CU_ASSERT_EQUAL(receive().id, ids[1]);
    expect_nothing();
    answer(ids[0], "", -1);
    answer(ids[1], "", -1);
    CU_ASSERT_EQUAL(answers, 2);
    end();
}

static uint32_t asked_again;

static void ask_again(uint64_t user, const struct request_answer *answer, int fd)
{
    (void)answer;
    (void)fd;
    asked_again = admin_ask(REQUEST_RESIZE, 0, "", answered, user + 1);
}

/* Whoever is answered may ask again at once, also when all places are taken but its own. */
static void test_ask_again(void)
{
    uint32_t ids[ASKS_MAX];

    begin();
    for (unsigned i = 0; i < ASKS_MAX; i++)
        ids[i] = admin_ask(REQUEST_RESIZE, 0, "", ask_again, 100);
    ask_send(fds[1]);
    for (unsigned i = 0; i < ASKS_MAX; i++)
        receive();
    answer(ids[7], "", -1);
    CU_ASSERT_NOT_EQUAL_FATAL(asked_again, 0);
    ask_send(fds[1]);
    receive();
    answer(asked_again, "", -1);
    CU_ASSERT(answers == 1 && answered_user == 101);
    for (unsigned i = 0; i < ASKS_MAX; i++)
        if (i != 7) {
            answer(ids[i], "", -1);
            ask_send(fds[1]);
            receive();
            answer(asked_again, "", -1);
        }
    CU_ASSERT_EQUAL(answers, ASKS_MAX);
    end();
}

/* A master that is gone: nothing is tried again and again. */
static void test_no_master(void)
{
    begin();
    close(fds[0]);
    CU_ASSERT_NOT_EQUAL(admin_ask(REQUEST_STOP, 0, "", answered, 1), 0);
    ask_send(fds[1]);
    CU_ASSERT_EQUAL(asks_waiting, 0);
    close(fds[1]);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"ask", test_ask},
        {"a name that is too long", test_a_name_that_is_too_long},
        {"sixteen", test_sixteen},
        {"descriptors", test_descriptors},
        {"a full pipe", test_a_full_pipe},
        {"ask again", test_ask_again},
        {"no master", test_no_master},
        {0},
    };
    return unit_main("ask", tests);
}
