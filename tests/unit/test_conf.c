/*
 * The configuration: the files of tests/conf, which must be read or refused as their first line says, and what no file
 * shows. The services are fakes with the names and keys of the real ones, so that nothing of the worker is needed.
 */
#include "master/conf/conf.h"
#include "tests/unit/unit.h"
#include <sched.h>

/* ---- services ---- */

struct proxy_config {
    struct sock_address upstream;
    uint32_t protocol, connect_timeout_ms, multiplex;
};

static const struct option_row proxy_options[] = {
    {"upstream", OPTION_ADDRESS, offsetof(struct proxy_config, upstream), 0, 0, NULL, NULL, "127.0.0.1:6379", "where"},
    {"protocol", OPTION_ENUM, offsetof(struct proxy_config, protocol), 0, 0, NULL, "raw|redis", "raw", "how"},
    {"connect_timeout", OPTION_TIME, offsetof(struct proxy_config, connect_timeout_ms), 1, 60000, NULL, NULL, "5s",
     "how long"},
    {"multiplex", OPTION_BOOL, offsetof(struct proxy_config, multiplex), 0, 0, NULL, NULL, "off", "share"},
    {0},
};

/* A rule that spans two keys: none of the real services has one. */
static int proxy_configure(void *base, struct option_error *error)
{
    struct proxy_config *config = base;

    if (config->protocol == 1 && config->connect_timeout_ms == 1)
        return option_fail(error, "connect_timeout", "connect_timeout must be above 1ms with redis");
    if (config->protocol == 1 && config->connect_timeout_ms == 2)
        return option_fail(error, NULL, "not with %s", "redis");
    return 0;
}

static const struct option_row echo_options[] = {
    {"shutdown_command", OPTION_ENUM, 0, 0, 0, NULL, "loopback|off", "off", "who"},
    {0},
};

static const struct service proxy_service = {.name = "proxy",
                                             .idle_timeout_ms = 120 * 1000,
                                             .options = proxy_options,
                                             .config_size = sizeof(struct proxy_config),
                                             .configure = proxy_configure};
static const struct service echo_service = {
    .name = "echo", .idle_timeout_ms = 120 * 1000, .options = echo_options, .config_size = sizeof(uint32_t)};
static const struct option_row status_options[] = {
    {.name = "status_hosts", .type = OPTION_STRING, .offset = 0, .value = "", .help = "names"},
    {0},
};
static const struct service status_service = {
    .name = "status", .idle_timeout_ms = 75 * 1000, .options = status_options, .config_size = OPTION_STRING_SIZE};
static const struct option_row control_options[] = {
    {.name = "control_group", .type = OPTION_STRING, .offset = 0, .value = "", .help = "members may change"},
    {0},
};
static const struct service control_service = {
    .name = "control", .operates = true, .options = control_options, .config_size = OPTION_STRING_SIZE};
static const struct service pingpong_service = {.name = "pingpong"};
static const struct service bank_service = {.name = "bank", .max_frame = 32768};

const struct service *const services[] = {&bank_service,  &control_service, &echo_service, &pingpong_service,
                                          &proxy_service, &status_service,  NULL};

/* ---- files ---- */

static const char folder[] = "tests/conf";
static char scratch[] = "/tmp/test_conf.XXXXXX";

/* Call `check` with each file of tests/conf/`kind`; there must be `least` of them. */
static void for_each(const char *kind, unsigned least, void (*check)(const char *path))
{
    char path[512];
    unsigned count = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, kind);
    DIR *dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", folder, kind, entry->d_name);
        check(path);
        count++;
    }
    closedir(dir);
    CU_ASSERT(count >= least);
}

/* Load a file that consists of `text`. */
static int load_text(struct conf *conf, const char *text, size_t size, char *why, size_t why_size)
{
    FILE *file = fopen(scratch, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(text, 1, size, file), size);
    fclose(file);
    return conf_load(conf, scratch, why, why_size);
}

/* The printed configuration, to be freed. */
static char *printed(const struct conf *conf)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    conf_print(conf, out);
    fclose(out);
    return text;
}

/* Nothing was lost on the way through a file. */
static void check_equal(const struct conf *a, const struct conf *b)
{
    struct conf copy = *a;

    copy.listeners = b->listeners;
    copy.text = b->text; /* what was printed is spelled in another way */
    copy.text_size = b->text_size;
    memcpy(copy.places, b->places, sizeof(copy.places));
    CU_ASSERT_EQUAL(memcmp(&copy, b, sizeof(copy)), 0);
    for (unsigned i = 0; i < a->listener_count && i < b->listener_count; i++) {
        struct listener_config listener = a->listeners[i];
        listener.service_config = b->listeners[i].service_config;
        CU_ASSERT_EQUAL(listener.index, i);
        CU_ASSERT_EQUAL(memcmp(&listener, &b->listeners[i], sizeof(listener)), 0);
        CU_ASSERT_EQUAL(memcmp(a->listeners[i].service_config, listener.service_config, listener.service->config_size),
                        0);
    }
}

static void check_good(const char *path)
{
    struct conf conf, again;
    char why[512] = "";

    if (conf_load(&conf, path, why, sizeof(why)) < 0) {
        printf("\n    %s", why);
        CU_FAIL("a good file is refused");
        return;
    }
    char *first = printed(&conf);
    if (load_text(&again, first, strlen(first), why, sizeof(why)) < 0) {
        printf("\n    %s, printed: %s", path, why);
        CU_FAIL("what was printed is refused");
    } else {
        char *second = printed(&again);
        CU_ASSERT_STRING_EQUAL(first, second);
        check_equal(&conf, &again);
        free(second);
        conf_free(&again);
    }
    free(first);
    conf_free(&conf);
}

static void check_bad(const char *path)
{
    static const char mark[] = "# expect: ";
    struct conf conf;
    char why[512] = "", first[512] = "", begin[600];
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_PTR_NOT_NULL(fgets(first, sizeof(first), file));
    fclose(file);
    first[strcspn(first, "\n")] = '\0';
    CU_ASSERT_EQUAL(strncmp(first, mark, sizeof(mark) - 1), 0);
    CU_ASSERT_EQUAL(conf_load(&conf, path, why, sizeof(why)), -1);
    CU_ASSERT(conf.listeners == NULL && conf.listener_count == 0);
    snprintf(begin, sizeof(begin), "%s:%s", path, first + sizeof(mark) - 1);
    /* "PATH:LINE: substring": the line must be the same, the rest must be in the message */
    char *sentence = strchr(begin + strlen(path), ' ');
    CU_ASSERT_PTR_NOT_NULL_FATAL(sentence);
    if (strncmp(why, begin, (size_t)(sentence - begin)) != 0 || !strstr(why, sentence)) {
        printf("\n    %s\n    instead of %s", why, begin);
        CU_FAIL("another complaint than expected");
    }
}

static void test_good_files(void)
{
    for_each("good", 6, check_good);
}

static void test_bad_files(void)
{
    for_each("bad", 25, check_bad);
}

static void test_the_sample(void)
{
    check_good("etc/ccserver.conf");
}

/* What the program serves without a file is what the sample says. Only its own name leads to it. */
static void test_builtin(void)
{
    struct conf builtin, sample;
    char why[512] = "";

    CU_ASSERT_EQUAL_FATAL(conf_load(&builtin, conf_builtin_name, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL_FATAL(conf_load(&sample, "etc/ccserver.conf", why, sizeof(why)), 0);
    check_equal(&builtin, &sample);
    CU_ASSERT_EQUAL(builtin.listener_count, 6);
    CU_ASSERT_PTR_NULL(strchr(conf_builtin_text, '#'));
    conf_free(&builtin);
    conf_free(&sample);
    char same[] = "built-in";
    CU_ASSERT_STRING_EQUAL(same, conf_builtin_name);
    CU_ASSERT_EQUAL(conf_load(&builtin, same, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "built-in: No such file or directory");
}

/* ---- what no file shows ---- */

static void expect_file_error(const char *path, const char *expected)
{
    struct conf conf;
    char why[512];

    CU_ASSERT_EQUAL(conf_load(&conf, path, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, expected);
    conf_free(&conf); /* harmless */
}

static void test_unreadable(void)
{
    expect_file_error("/nonexistent/x", "/nonexistent/x: No such file or directory");
    expect_file_error("/tmp", "/tmp: Is a directory");
    expect_file_error("/dev/zero", "/dev/zero: larger than 1048576 bytes");
    expect_file_error("/dev/null", "/dev/null:1: there is no [listen NAME] section: nothing to serve");
}

static void test_defaults(void)
{
    static const char text[] = "[listen b]\nservice = bank\nbind = 127.0.0.1:1\n"
                               "[listen e]\nmax_frame = 1k\nidle_timeout = off\nservice = echo\nbind = 127.0.0.1:2\n"
                               "[listen p]\nservice = proxy\nbind = 127.0.0.1:3 127.0.0.2:3,127.0.0.3:3\n";
    struct conf conf;
    char why[512] = "";

    CU_ASSERT_EQUAL_FATAL(load_text(&conf, text, strlen(text), why, sizeof(why)), 0);
    CU_ASSERT(conf.pools[0].workers >= 1 && conf.pools[0].workers <= CONF_WORKERS_MAX);
    CU_ASSERT(conf.pools[0].drain_timeout_ms == 30000 && conf.linger_timeout_ms == 2000 &&
              conf.pools[0].max_sessions == 100000);
    CU_ASSERT(conf.pools[0].adopt_after_ms == 250 && conf.pools[0].watchdog_timeout_ms == 5000);
    CU_ASSERT(conf.busy_poll_us == 0 && conf.busy_poll_force == 0);
    CU_ASSERT_EQUAL(conf.stop_delay_ms, 0);
    CU_ASSERT_STRING_EQUAL(conf.log, "stderr");
    CU_ASSERT_EQUAL(conf.log_level, LOG_LEVEL_INFO);
    CU_ASSERT(conf.stats_file[0] == '\0' && conf.pidfile[0] == '\0');
    CU_ASSERT_EQUAL_FATAL(conf.listener_count, 3);
    for (unsigned i = 0; i < conf.listener_count; i++)
        CU_ASSERT(conf.listeners[i].session_log == SESSION_LOG_OFF &&
                  conf.listeners[i].session_log_format == SESSION_LOG_TEXT);
    const struct listener_config *bank = &conf.listeners[0], *echo = &conf.listeners[1], *proxy = &conf.listeners[2];
    CU_ASSERT(bank->service == &bank_service && bank->max_frame == 32768 && bank->idle_timeout_ms == 0);
    CU_ASSERT(bank->backlog == 4096 && bank->high_water == 256 << 10 && bank->low_water == 64 << 10);
    CU_ASSERT_EQUAL(bank->max_output, 16 << 20);
    CU_ASSERT(echo->max_frame == 1024 && echo->idle_timeout_ms == 0);
    CU_ASSERT(proxy->max_frame == 65536 && proxy->idle_timeout_ms == 120000 && proxy->address_count == 3);
    const struct proxy_config *config = proxy->service_config;
    CU_ASSERT(config->protocol == 0 && config->connect_timeout_ms == 5000);
    CU_ASSERT_STRING_EQUAL(config->upstream.text, "127.0.0.1:6379");
    conf_free(&conf);
    CU_ASSERT(conf.listeners == NULL && conf.listener_count == 0);
}

static const struct pool_config *pool_of(const struct conf *conf, unsigned listener)
{
    return &conf->pools[conf->listeners[listener].pool];
}

/* What a pool does not say itself is what [server] says. */
static void test_pools(void)
{
    struct conf conf;
    char why[512] = "";

    CU_ASSERT_EQUAL_FATAL(conf_load(&conf, "tests/conf/good/pools.conf", why, sizeof(why)), 0);
    const struct pool_config *server = &conf.pools[0], *own = pool_of(&conf, 0), *ledger = pool_of(&conf, 1);
    CU_ASSERT_EQUAL(conf.pool_count, 4);
    CU_ASSERT_STRING_EQUAL(server->name, "main");
    CU_ASSERT_STRING_EQUAL(own->name, "own");
    CU_ASSERT_STRING_EQUAL(ledger->name, "ledger");
    CU_ASSERT(own->max_sessions == 7 && ledger->max_sessions == 9);
    CU_ASSERT(own->workers == conf_online_cpus() && ledger->workers == 1 && server->workers == 3);
    CU_ASSERT(own->nice == 19 && ledger->nice == 0 && server->nice == 0);
    CU_ASSERT(own->adopt_after_ms == 120000 && ledger->adopt_after_ms == 60000);
    CU_ASSERT(own->watchdog_timeout_ms == 300000 && ledger->watchdog_timeout_ms == 300000);
    CU_ASSERT(own->drain_timeout_ms == 7000 && ledger->drain_timeout_ms == 2000);
    CU_ASSERT(own->recycle_sessions == 1000 && ledger->recycle_sessions == 0 && ledger->recycle_memory == 1U << 30);
    CU_ASSERT_STRING_EQUAL(own->cpus, "0");
    CU_ASSERT_STRING_EQUAL(ledger->cpus, "auto");
    CU_ASSERT(CPU_ISSET(0, &own->cpu_set) && CPU_COUNT(&own->cpu_set) == 1);
    CU_ASSERT(!own->single && ledger->single && !server->single);
    CU_ASSERT_EQUAL(conf_pool_workers(server), 0); /* they would have nothing to do */
    CU_ASSERT_EQUAL(conf_pool_workers(&conf.pools[3]), 0);
    CU_ASSERT_EQUAL(conf_workers(&conf), conf_online_cpus() + 1);
    conf_free(&conf);
}

/* Nor does a listener have to; [server] may stand behind it. */
static void test_session_log(void)
{
    static const char text[] = "[listen own]\nbind = 127.0.0.1:1\nservice = echo\nsession_log = all\n"
                               "[listen none]\nbind = 127.0.0.1:2\nservice = echo\n"
                               "[server]\nsession_log = errors\nsession_log_format = json\n"
                               "[listen off]\nbind = 127.0.0.1:3\nservice = echo\nsession_log = off\n"
                               "session_log_format = text\n";
    struct conf conf;
    char why[512] = "";

    CU_ASSERT_EQUAL_FATAL(load_text(&conf, text, strlen(text), why, sizeof(why)), 0);
    const struct listener_config *own = &conf.listeners[0], *none = &conf.listeners[1], *off = &conf.listeners[2];
    CU_ASSERT(own->session_log == SESSION_LOG_ALL && own->session_log_format == SESSION_LOG_JSON);
    CU_ASSERT(none->session_log == SESSION_LOG_ERRORS && none->session_log_format == SESSION_LOG_JSON);
    CU_ASSERT(off->session_log == SESSION_LOG_OFF && off->session_log_format == SESSION_LOG_TEXT);
    conf_free(&conf);
}

static void test_configure(void)
{
    static const char key[] =
        "[listen p]\nbind = 127.0.0.1:3\nconnect_timeout = 1ms\nservice = proxy\nprotocol = redis\n";
    static const char whole[] = "\n[listen p]\nbind = 127.0.0.1:3\nservice = proxy\nprotocol = redis\n"
                                "connect_timeout = 2ms\n";
    struct conf conf;
    char why[512];

    CU_ASSERT_EQUAL(load_text(&conf, key, strlen(key), why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why + strlen(scratch), ":3: connect_timeout must be above 1ms with redis");
    CU_ASSERT_EQUAL(load_text(&conf, whole, strlen(whole), why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why + strlen(scratch), ":2: not with redis");
    CU_ASSERT_EQUAL(load_text(&conf, whole, strlen(whole), why, 8), -1);
    CU_ASSERT_EQUAL(strlen(why), 7);
}

/* `server` is the body of [server], from line 2 on; NULL as `error`: it is right. */
static void check_server(const char *server, const char *error)
{
    char text[256], why[512] = "";
    struct conf conf;
    int size = snprintf(text, sizeof(text), "[server]\n%s[listen b]\nservice = bank\nbind = 127.0.0.1:1\n", server);

    CU_ASSERT_EQUAL(load_text(&conf, text, (size_t)size, why, sizeof(why)), error ? -1 : 0);
    CU_ASSERT_STRING_EQUAL(error ? why + strlen(scratch) : why, error ? error : "");
    conf_free(&conf);
}

/* A worker is adopted from before it is killed. */
static void test_watchdog(void)
{
    check_server("adopt_after = 499ms\nwatchdog_timeout = 500ms\n", NULL);
    check_server("watchdog_timeout = 10m\nadopt_after = 1m\n", NULL);
    check_server("adopt_after = 500ms\nwatchdog_timeout = 500ms\n", ":2: adopt_after is not below watchdog_timeout");
    check_server("watchdog_timeout = 1s\nadopt_after = 2s\n", ":3: adopt_after is not below watchdog_timeout");
    check_server("workers = 1\nadopt_after = 5s\n", ":3: adopt_after is not below watchdog_timeout");
    check_server("adopt_after = 149ms\n", ":2: adopt_after = 149ms: must be 150ms to 10m");
    check_server("watchdog_timeout = 499ms\n", ":2: watchdog_timeout = 499ms: must be 500ms to 1h");
    check_server("watchdog_timeout = off\n", ":2: watchdog_timeout = off: must be a time with a unit: ms, s, m or h");
    check_server("busy_poll = 10ms\nbusy_poll_force = on\n", NULL);
    check_server("busy_poll = 11ms\n", ":2: busy_poll = 11ms: must be 1us to 10ms or off");
}

/* Whatever stands in a file, it is read or refused with a sentence: all prefixes of the sample, and with a byte
 * changed. */
static void test_damaged_files(void)
{
    static char sample[16384], text[16384];
    struct conf conf;
    FILE *file = fopen("etc/ccserver.conf", "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t size = fread(sample, 1, sizeof(sample), file);
    fclose(file);
    CU_ASSERT(size > 0 && size < sizeof(sample));
    for (size_t i = 0; i < size; i += 7) {
        char why[512] = "";
        memcpy(text, sample, size);
        text[i] = "[]=;\n\0 x"[i % 8];
        for (unsigned cut = 0; cut < 2; cut++) {
            int result = load_text(&conf, text, cut ? i : size, why, sizeof(why));
            CU_ASSERT(result == 0 || strncmp(why, scratch, strlen(scratch)) == 0);
            conf_free(&conf);
        }
    }
}

/* ---- names: a resolver that knows a few ---- */

static bool silent; /* it has no answers yet */

static bool ask_few(struct resolver *resolver, const char *host, struct resolve_answer *answer)
{
    static const char *const known[][3] = {{"one", "127.0.0.5"},
                                           {"two", "127.0.0.5", "127.0.0.6"},
                                           {"here", "127.0.0.1", "203.0.113.1"},
                                           {"elsewhere", "203.0.113.1"}};

    (void)resolver;
    *answer = (struct resolve_answer){.error = "nobody knows it"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        for (unsigned j = 1; strcmp(known[i][0], host) == 0 && j < 3 && known[i][j]; j++) {
            char text[64], why[64];
            struct sock_address address;
            snprintf(text, sizeof(text), "%s:0", known[i][j]);
            CU_ASSERT_EQUAL(sock_parse(&address, text, why, sizeof(why)), 0);
            answer->addresses[answer->count++] = address.inet;
        }
    return !silent;
}

/* Names in one listener: `bind` and `upstream` of a proxy. NULL as `error`: it is right. */
static int load_names(struct conf *conf, const char *bind, const char *target, bool lenient, const char *error)
{
    static struct resolver few = {.ask = ask_few};
    char text[512], why[512] = "";
    int size = snprintf(text, sizeof(text), "[listen p]\nservice = proxy\nbind = %s\nupstream = %s\n", bind, target);
    struct conf_source source = {
        .path = "x", .text = text, .text_size = (size_t)size, .resolver = &few, .lenient = lenient};
    int result = conf_load_from(conf, &source, why, sizeof(why));

    CU_ASSERT_STRING_EQUAL(why, error ? error : "");
    CU_ASSERT_EQUAL(result, error ? -1 : 0);
    if (result == 0) {
        CU_ASSERT_EQUAL(conf->text_size, (size_t)size);
        CU_ASSERT_EQUAL(memcmp(conf->text, text, conf->text_size), 0);
    }
    return result;
}

static void test_names_to_bind(void)
{
    struct conf conf;

    load_names(&conf, "two:7, 127.0.0.9:7", "127.0.0.1:1", false, NULL);
    const struct listener_config *listener = &conf.listeners[0];
    CU_ASSERT_EQUAL_FATAL(listener->address_count, 3);
    CU_ASSERT_STRING_EQUAL(listener->addresses[0].text, "127.0.0.5:7");
    CU_ASSERT_STRING_EQUAL(listener->addresses[1].text, "127.0.0.6:7");
    CU_ASSERT_STRING_EQUAL(listener->addresses[2].text, "127.0.0.9:7");
    CU_ASSERT_STRING_EQUAL(listener->bind, "two:7 127.0.0.9:7");
    char *text = printed(&conf);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nbind = two:7 127.0.0.9:7\n"));
    free(text);
    conf_free(&conf);

    load_names(&conf, "one:7 two:7 127.0.0.6:7", "127.0.0.1:1", false, NULL); /* the same twice is once */
    CU_ASSERT_EQUAL(conf.listeners[0].address_count, 2);
    conf_free(&conf);
    load_names(&conf, "here:7", "127.0.0.1:1", false, NULL); /* the other one is a warning */
    CU_ASSERT_EQUAL(conf.listeners[0].address_count, 1);
    conf_free(&conf);
    load_names(&conf, "elsewhere:7", "127.0.0.1:1", true,
               "x:3: bind = elsewhere:7: this machine has none of its addresses");
    load_names(&conf, "nobody:7", "127.0.0.1:1", true,
               "x:3: bind = nobody:7: cannot resolve 'nobody': nobody knows it");
    load_names(&conf, "one:7 0.0.0.0:7", "127.0.0.1:1", false, "x:3: duplicate address 0.0.0.0:7: [listen p] has it");
}

static void test_names_to_connect_to(void)
{
    static const char sentence[] = "x:4: upstream = nobody:8: cannot resolve 'nobody': nobody knows it";
    const struct proxy_config *config;
    struct conf conf;

    load_names(&conf, "127.0.0.1:7", "two:8", false, NULL);
    config = conf.listeners[0].service_config;
    CU_ASSERT_EQUAL(sock_count(&config->upstream), 2);
    CU_ASSERT_EQUAL(sock_port(&config->upstream), 8);
    CU_ASSERT_STRING_EQUAL(config->upstream.text, "two:8");
    conf_free(&conf);
    load_names(&conf, "127.0.0.1:7", "nobody:8", false, sentence);
    load_names(&conf, "127.0.0.1:7", "nobody:8", true, NULL);
    config = conf.listeners[0].service_config;
    CU_ASSERT(sock_is_unresolved(&config->upstream));
    CU_ASSERT_STRING_EQUAL(config->upstream.text, "nobody:8");
    conf_free(&conf);
    load_names(&conf, "127.0.0.6:7", "two:7", false,
               "x:4: upstream = two:7: that is [listen p] itself, which listens on 127.0.0.6:7");
    load_names(&conf, "two:7", "127.0.0.6:7", false,
               "x:4: upstream = 127.0.0.6:7: that is [listen p] itself, which listens on 127.0.0.6:7");
    load_names(&conf, "0.0.0.0:7", "one:7", false,
               "x:4: upstream = one:7: that is [listen p] itself, which listens on 0.0.0.0:7");
}

/* Without answers nothing is wrong with names, and all that has nothing to do with them is found. */
static void test_names_without_answers(void)
{
    struct conf conf;

    silent = true;
    load_names(&conf, "nobody:7", "nobody:8", false, NULL);
    CU_ASSERT_EQUAL(conf.listeners[0].address_count, 0);
    conf_free(&conf);
    load_names(&conf, "nobody:7", "127.0.0.1:0", false, "x:4: upstream = 127.0.0.1:0: the port must be 1 to 65535");
    load_names(&conf, "nobody:7", "nobody:0", false, "x:4: upstream = nobody:0: the port must be 1 to 65535");
    silent = false;
}

/* ---- documentation ---- */

static void expect_keys(const char *text, const struct option_row *table, const char *format)
{
    char line[128];

    for (const struct option_row *row = table; row && row->name; row++) {
        snprintf(line, sizeof(line), format, row->name);
        if (!strstr(text, line))
            printf("\n    not documented: %s", row->name);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
    }
}

static void expect_all_keys(const char *text, const char *format)
{
    static const struct option_row apart[] = {{.name = "bind"}, {.name = "service"}, {0}};

    expect_keys(text, conf_server_options, format);
    expect_keys(text, conf_listen_options, format);
    expect_keys(text, apart, format);
    for (const struct service *const *service = services; *service; service++)
        expect_keys(text, (*service)->options, format);
}

static void read_text(const char *path, char *text, size_t text_size)
{
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    text[fread(text, 1, text_size - 1, file)] = '\0';
    fclose(file);
}

static void test_every_key_is_documented(void)
{
    static char text[65536];

    read_text("etc/ccserver.conf", text, sizeof(text));
    expect_all_keys(text, "\n%s =");
    read_text("docs/operate.md", text, sizeof(text));
    expect_all_keys(text, "\n| `%s`");

    FILE *file = fmemopen(text, sizeof(text), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    conf_print_reference(file);
    fclose(file);
    expect_all_keys(text, "\n# %s (");
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "# workers (a number, 1 to 1024 or auto; default: auto)\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "# max_frame (default: 32k)\n"));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        CU_ASSERT(*line == '#' || *line == '\n');
}

/* The CPUs of the files here, whichever this program runs on. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    CPU_ZERO_S(size, set);
    for (size_t cpu = 0; cpu < 4; cpu++)
        CPU_SET_S(cpu, size, set);
    return 0;
}

/* ---- the sockets of control listeners ---- */

static uid_t user;

uid_t geteuid(void)
{
    return user;
}

static void set_environment(const char *name, const char *value)
{
    CU_ASSERT_EQUAL(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* Where a control listener without an address is, or why it is nowhere: `server` is the body of [server]. */
static const char *place(const char *runtime, const char *own, const char *server)
{
    static char found[512];
    char text[1024];
    struct conf conf;
    int size = snprintf(text, sizeof(text),
                        "[listen a]\nservice = bank\nbind = 127.0.0.1:1\n[listen b-1]\nservice = control\n[server]\n%s",
                        server);

    set_environment("RUNTIME_DIRECTORY", runtime);
    set_environment("XDG_RUNTIME_DIR", own);
    found[0] = '\0';
    if (load_text(&conf, text, (size_t)size, found, sizeof(found)) < 0)
        return found + strlen(scratch);
    CU_ASSERT_EQUAL(conf.listeners[1].address_count, 1);
    snprintf(found, sizeof(found), "%s", conf.listeners[1].addresses[0].text);
    conf_free(&conf);
    return found;
}

static void test_runtime_dir(void)
{
    user = 0;
    CU_ASSERT_STRING_EQUAL(place(NULL, NULL, ""), "unix:/run/ccserver/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place("", "/run/user/0", ""), "unix:/run/ccserver/b-1.sock");
    user = 1234;
    CU_ASSERT_STRING_EQUAL(place(NULL, NULL, ""), "unix:/tmp/ccserver-1234/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place(NULL, "", ""), "unix:/tmp/ccserver-1234/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place(NULL, "relative", ""), "unix:/tmp/ccserver-1234/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place(NULL, "/run/user/1234", ""), "unix:/run/user/1234/ccserver/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place("/run/made", "/run/user/1234", ""), "unix:/run/made/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place("/run/made:/run/second", NULL, ""), "unix:/run/made/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place("/run/made", "/x", "runtime_dir = /run/ours\n"), "unix:/run/ours/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place(NULL, NULL, "runtime_dir = /run/ours//\n"), "unix:/run/ours/b-1.sock");
    CU_ASSERT_STRING_EQUAL(place(NULL, NULL, "runtime_dir = /\n"), "unix://b-1.sock");
    user = 0;
}

/* It is the line of the listener that is at fault: the key may stand in no line at all. */
static void test_runtime_dir_too_long(void)
{
    char directory[300], server[400];

    memset(directory, 'x', sizeof(directory));
    directory[0] = '/';
    directory[108 - sizeof("/b-1.sock")] = '\0'; /* with the end of the text as much as fits */
    const char *path = place(directory, NULL, "");
    CU_ASSERT(strncmp(path, "unix:/xxx", 9) == 0 && strlen(path) == strlen("unix:") + 107);
    directory[108 - sizeof("/b-1.sock")] = 'x';
    directory[109 - sizeof("/b-1.sock")] = '\0';
    CU_ASSERT_EQUAL(strncmp(place(directory, NULL, ""), ":4: ", 4), 0);
    directory[109 - sizeof("/b-1.sock")] = 'x';
    directory[sizeof(directory) - 1] = '\0';
    CU_ASSERT_EQUAL(strncmp(place(directory, NULL, ""), ":4: ", 4), 0);
    directory[150] = '\0';
    snprintf(server, sizeof(server), "runtime_dir = %s\n", directory);
    CU_ASSERT_EQUAL(strncmp(place(NULL, NULL, server), ":4: ", 4), 0);
}

static void check_text(const char *text, const char *error)
{
    char why[512] = "";
    struct conf conf;

    CU_ASSERT_EQUAL(load_text(&conf, text, strlen(text), why, sizeof(why)), error ? -1 : 0);
    CU_ASSERT_STRING_EQUAL(error ? why + strlen(scratch) : why, error ? error : "");
    conf_free(&conf);
}

/* The kernel tells who the clients of a unix socket are, and of no other. */
static void test_who_operates(void)
{
    struct conf conf;
    char why[512];
    static const char two[] = "[pool p]\n[listen c]\npool = p\nservice = control\nbind = unix:/tmp/c\n"
                              "[listen b]\nservice = bank\nbind = 127.0.0.1:1\n";

    check_text("[listen c]\nservice = control\nbind = 127.0.0.1:1\n",
               ":3: bind = 127.0.0.1:1: service = control is served on unix sockets alone");
    check_text("[listen c]\nbind = unix:/tmp/c, [::1]:1\nservice = control\n",
               ":2: bind = [::1]:1: service = control is served on unix sockets alone");
    check_text("[listen c]\nservice = control\nbind = unix:/tmp/c\n", NULL);
    check_text("[listen c]\nservice = bank\n", ":1: [listen c] needs an address: bind = ADDR:PORT");
    CU_ASSERT_EQUAL_FATAL(load_text(&conf, two, strlen(two), why, sizeof(why)), 0);
    CU_ASSERT(!conf.pools[0].operates && conf.pools[1].operates);
    CU_ASSERT(conf.listeners[0].position == 0 && conf.listeners[1].position == 1);
    conf_free(&conf);
}

static void test_disable(void)
{
    static const char text[] = "[listen a]\nservice = bank\nbind = 127.0.0.1:1\n[listen c]\nservice = control\n"
                               "bind = unix:/tmp/c\n[listen b]\nservice = echo\nbind = 127.0.0.1:2\n";
    struct conf conf;
    char why[512];

    CU_ASSERT_EQUAL_FATAL(load_text(&conf, text, strlen(text), why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(conf.disabled, 0);
    conf_disable(&conf, "b", true);
    CU_ASSERT_EQUAL(conf.disabled, 4);
    conf_disable(&conf, "b", true);
    conf_disable(&conf, "a", true);
    conf_disable(&conf, "c", true); /* it operates */
    conf_disable(&conf, "d", true);
    conf_disable(&conf, "", true);
    CU_ASSERT_EQUAL(conf.disabled, 5);
    conf_disable(&conf, "a", false);
    conf_disable(&conf, "a", false);
    CU_ASSERT_EQUAL(conf.disabled, 4);
    conf_free(&conf);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"good files", test_good_files},
        {"bad files", test_bad_files},
        {"the sample", test_the_sample},
        {"built-in", test_builtin},
        {"unreadable", test_unreadable},
        {"defaults", test_defaults},
        {"pools", test_pools},
        {"session log", test_session_log},
        {"configure", test_configure},
        {"watchdog", test_watchdog},
        {"damaged files", test_damaged_files},
        {"names to bind", test_names_to_bind},
        {"names to connect to", test_names_to_connect_to},
        {"names without answers", test_names_without_answers},
        {"every key is documented", test_every_key_is_documented},
        {"runtime_dir", test_runtime_dir},
        {"runtime_dir too long", test_runtime_dir_too_long},
        {"who operates", test_who_operates},
        {"disable", test_disable},
        {0},
    };
    int fd = mkstemp(scratch);

    if (fd < 0)
        return EXIT_FAILURE;
    close(fd);
    int result = unit_main("conf", tests);
    unlink(scratch);
    return result;
}
