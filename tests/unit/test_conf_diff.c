/*
 * A configuration once it is read: what the command line makes of it, and what is said of the differences to another.
 * The services are fakes, so that nothing of the worker is needed.
 */
#include "common/log.h"
#include "master/conf/conf.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <string.h>

/* ---- services ---- */

struct proxy_config {
    struct sock_address upstream;
    uint32_t connect_timeout_ms;
};

static const struct option_row proxy_options[] = {
    {"upstream", OPTION_ADDRESS, offsetof(struct proxy_config, upstream), 0, 0, NULL, NULL, "127.0.0.1:6379", "where"},
    {"connect_timeout", OPTION_TIME, offsetof(struct proxy_config, connect_timeout_ms), 1, 60000, NULL, NULL, "5s",
     "how long"},
    {0},
};

static const struct service proxy_service = {
    .name = "proxy", .options = proxy_options, .config_size = sizeof(struct proxy_config)};
static const struct service echo_service = {.name = "echo"};

const struct service *const services[] = {&echo_service, &proxy_service, NULL};

/* ---- files ---- */

static char folder[] = "/tmp/test_conf_diff.XXXXXX";
static char conf_path[64], log_path[64], why[512];

static void load(struct conf *conf, const char *text)
{
    FILE *file = fopen(conf_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
    int result = conf_load(conf, conf_path, why, sizeof(why));
    if (result < 0)
        printf("\n%s\n", why);
    CU_ASSERT_EQUAL_FATAL(result, 0);
}

/* What has been logged since the last call, without its prefixes. */
static const char *logged(void)
{
    static char lines[8192];
    char line[2048];
    size_t used = 0;
    FILE *file = fopen(log_path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    lines[0] = '\0';
    while (fgets(line, sizeof(line), file)) {
        const char *text = strstr(line, "]: ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        used += (size_t)snprintf(lines + used, sizeof(lines) - used, "%s", text + 3);
        CU_ASSERT_FATAL(used < sizeof(lines));
    }
    fclose(file);
    CU_ASSERT_EQUAL(truncate(log_path, 0), 0);
    return lines;
}

static void check_logged(const char *expected)
{
    const char *lines = logged();

    if (strcmp(lines, expected) != 0) {
        printf("\nlog: %s\nnot: %s\n", lines, expected);
        CU_FAIL("another log");
    }
}

/* ---- differences ---- */

#define ECHO "[listen echo]\nbind = 127.0.0.1:7\nservice = echo\n"
#define PROXY "[listen proxy]\nbind = 127.0.0.1:8\nservice = proxy\n"

/* From one configuration to another, and back: the signs are the other way round then. */
static void check_changes(const char *before, const char *after, const char *there, const char *back)
{
    struct conf old, new;

    load(&old, before);
    load(&new, after);
    conf_log_changes(&old, &new);
    check_logged(there);
    conf_log_changes(&new, &old);
    check_logged(back);
    conf_free(&old);
    conf_free(&new);
}

static void test_no_change(void)
{
    check_changes(ECHO PROXY, ECHO PROXY, "", "");
    check_changes(ECHO PROXY, PROXY ECHO, "", ""); /* order means nothing */
    check_changes(ECHO PROXY, "# another file\n[server]\nworkers = auto\n" ECHO "backlog = 4096\n" PROXY, "", "");
    check_changes("[server]\ndrain_timeout = 60s\n" ECHO, "[server]\ndrain_timeout = 1m\n" ECHO, "", "");
}

/* A pool that comes with all that it has, and goes. */
static void test_pools(void)
{
#define POOL(sign)                                                                                                     \
    "reload: [pool bank] " sign " workers = 3\nreload: [pool bank] " sign " single = off\n"                            \
    "reload: [pool bank] " sign " max_sessions = 100000\nreload: [pool bank] " sign " drain_timeout = 30s\n"           \
    "reload: [pool bank] " sign " adopt_after = 250ms\nreload: [pool bank] " sign " watchdog_timeout = 5s\n"           \
    "reload: [pool bank] " sign " cpus = off\nreload: [pool bank] " sign " nice = 5\n"                                 \
    "reload: [pool bank] " sign " recycle_sessions = off\nreload: [pool bank] " sign " recycle_memory = off\n"

    check_changes(ECHO, "[pool bank]\nworkers = 3\nnice = 5\n" ECHO "pool = bank\n",
                  "reload: [listen echo] - pool = main\n" POOL("+") "reload: [listen echo] + pool = bank\n",
                  POOL("-") "reload: [listen echo] - pool = bank\nreload: [listen echo] + pool = main\n");
}

static void test_values(void)
{
    check_changes("[server]\nworkers = 2\n" ECHO, "[server]\nworkers = 20\n" ECHO,
                  "reload: [server] - workers = 2\nreload: [server] + workers = 20\n",
                  "reload: [server] - workers = 20\nreload: [server] + workers = 2\n");
    check_changes("[server]\nadopt_after = 300ms\nwatchdog_timeout = 9s\n" ECHO, ECHO,
                  "reload: [server] - adopt_after = 300ms\nreload: [server] - watchdog_timeout = 9s\n"
                  "reload: [server] + adopt_after = 250ms\nreload: [server] + watchdog_timeout = 5s\n",
                  "reload: [server] - adopt_after = 250ms\nreload: [server] - watchdog_timeout = 5s\n"
                  "reload: [server] + adopt_after = 300ms\nreload: [server] + watchdog_timeout = 9s\n");
    check_changes("[server]\npidfile =\n" ECHO, "[server]\npidfile = /run/x\n" ECHO,
                  "reload: [server] - pidfile =\nreload: [server] + pidfile = /run/x\n",
                  "reload: [server] - pidfile = /run/x\nreload: [server] + pidfile =\n");
}

/* A line is looked for in its own section: the same line in another one is another line. */
static void test_sections(void)
{
    check_changes(ECHO "backlog = 16\n" PROXY "backlog = 16\n", ECHO "backlog = 160\n" PROXY "backlog = 16\n",
                  "reload: [listen echo] - backlog = 16\nreload: [listen echo] + backlog = 160\n",
                  "reload: [listen echo] - backlog = 160\nreload: [listen echo] + backlog = 16\n");
    check_changes(ECHO "backlog = 16\n" PROXY "backlog = 17\n", ECHO "backlog = 17\n" PROXY "backlog = 16\n",
                  "reload: [listen echo] - backlog = 16\nreload: [listen proxy] - backlog = 17\n"
                  "reload: [listen echo] + backlog = 17\nreload: [listen proxy] + backlog = 16\n",
                  "reload: [listen echo] - backlog = 17\nreload: [listen proxy] - backlog = 16\n"
                  "reload: [listen echo] + backlog = 16\nreload: [listen proxy] + backlog = 17\n");
}

static void test_service_keys(void)
{
    check_changes(PROXY, PROXY "upstream = 127.0.0.1:6380\nconnect_timeout = 1s\n",
                  "reload: [listen proxy] - upstream = 127.0.0.1:6379\nreload: [listen proxy] - connect_timeout = 5s\n"
                  "reload: [listen proxy] + upstream = 127.0.0.1:6380\nreload: [listen proxy] + connect_timeout = 1s\n",
                  "reload: [listen proxy] - upstream = 127.0.0.1:6380\nreload: [listen proxy] - connect_timeout = 1s\n"
                  "reload: [listen proxy] + upstream = 127.0.0.1:6379\n"
                  "reload: [listen proxy] + connect_timeout = 5s\n");
    check_changes("[listen a]\nbind = 127.0.0.1:7\nservice = echo\n",
                  "[listen a]\nbind = 127.0.0.1:7\nservice = proxy\n",
                  "reload: [listen a] - service = echo\nreload: [listen a] + service = proxy\n"
                  "reload: [listen a] + upstream = 127.0.0.1:6379\nreload: [listen a] + connect_timeout = 5s\n",
                  "reload: [listen a] - service = proxy\nreload: [listen a] - upstream = 127.0.0.1:6379\n"
                  "reload: [listen a] - connect_timeout = 5s\nreload: [listen a] + service = echo\n");
}

static void test_addresses(void)
{
    check_changes("[listen a]\nbind = 127.0.0.1:7 127.0.0.1:8\nservice = echo\n",
                  "[listen a]\nbind = 127.0.0.1:7\nservice = echo\n",
                  "reload: [listen a] - bind = 127.0.0.1:7 127.0.0.1:8\nreload: [listen a] + bind = 127.0.0.1:7\n",
                  "reload: [listen a] - bind = 127.0.0.1:7\nreload: [listen a] + bind = 127.0.0.1:7 127.0.0.1:8\n");
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    for (; (text = strstr(text, part)); text += strlen(part))
        found++;
    return found;
}

/* A listener more is all of its lines; also if its name begins like that of another one. */
static void test_listeners(void)
{
    struct conf old, new;
    unsigned keys = 2; /* bind and service */

    for (const struct option_row *row = conf_listen_options; row->name; row++)
        keys++;
    load(&old, ECHO);
    load(&new, ECHO "[listen echo2]\nbind = 127.0.0.1:9\nservice = echo\n");
    for (unsigned back = 0; back < 2; back++) {
        conf_log_changes(back ? &new : &old, back ? &old : &new);
        const char *lines = logged();
        CU_ASSERT_EQUAL(count(lines, "\n"), keys);
        CU_ASSERT_EQUAL(count(lines, back ? "reload: [listen echo2] - " : "reload: [listen echo2] + "), keys);
        CU_ASSERT_EQUAL(count(lines, "bind = 127.0.0.1:9\n"), 1);
        CU_ASSERT_EQUAL(count(lines, "service = echo\n"), 1);
        CU_ASSERT_EQUAL(count(lines, "backlog = 4096\n"), 1);
    }
    conf_free(&old);
    conf_free(&new);
}

/* Nothing of it is too long to be found, or to be said. */
static void test_long_names(void)
{
    char text[1024], name[LISTENER_NAME_SIZE], value[OPTION_STRING_SIZE];
    struct conf old, new;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    snprintf(text, sizeof(text), "[listen %s]\nbind = 127.0.0.1:7\nservice = echo\n", name);
    load(&old, text);
    load(&new, text);
    memcpy(old.log, value, sizeof(value));
    memcpy(new.log, value, sizeof(value));
    conf_log_changes(&old, &new);
    check_logged("");
    new.log[sizeof(value) - 2] = 'w';
    new.listeners[0].backlog = 1;
    conf_log_changes(&old, &new);
    snprintf(text, sizeof(text),
             "reload: [server] - log = %s\nreload: [listen %s] - backlog = 4096\n"
             "reload: [server] + log = %.254sw\nreload: [listen %s] + backlog = 1\n",
             value, name, value, name);
    check_logged(text);
    conf_free(&old);
    conf_free(&new);
}

/* ---- the command line ---- */

static const struct conf_overrides nothing = {.file = "x", .log_level = -1};
static struct conf conf;

static void begin(const char *text)
{
    load(&conf, text);
    why[0] = '\0';
}

static int override(const struct conf_overrides *overrides)
{
    return conf_override(&conf, overrides, why, sizeof(why));
}

static void test_override_nothing(void)
{
    begin("[server]\nworkers = 3\nlog_level = warn\npidfile = /run/x\n" ECHO);
    struct conf before = conf;
    CU_ASSERT_EQUAL(override(&nothing), 0);
    CU_ASSERT_EQUAL(memcmp(&before, &conf, sizeof(conf)), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
    conf_free(&conf);
}

static void test_override(void)
{
    begin("[server]\nworkers = 3\nlog_level = warn\npidfile = /run/x\nlog = syslog\n" ECHO);
    struct conf_overrides overrides = {
        .workers = 5, .log_level = LOG_LEVEL_DEBUG, .pidfile = "/run/y", .daemonise = true};
    CU_ASSERT_EQUAL(override(&overrides), 0);
    CU_ASSERT_EQUAL(conf.pools[0].workers, 5);
    CU_ASSERT_EQUAL(conf.log_level, LOG_LEVEL_DEBUG);
    CU_ASSERT_STRING_EQUAL(conf.pidfile, "/run/y");
    overrides.pidfile = "";
    CU_ASSERT_EQUAL(override(&overrides), 0);
    CU_ASSERT_STRING_EQUAL(conf.pidfile, "");
    conf_free(&conf);
}

static void test_override_pidfile(void)
{
    char path[OPTION_STRING_SIZE + 1];
    struct conf_overrides overrides = nothing;

    begin(ECHO);
    memset(path, 'p', sizeof(path));
    overrides.pidfile = path;
    path[OPTION_STRING_SIZE] = '\0';
    CU_ASSERT_EQUAL(override(&overrides), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "-p"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "255"));
    path[OPTION_STRING_SIZE - 1] = '\0';
    CU_ASSERT_EQUAL(override(&overrides), 0);
    CU_ASSERT_STRING_EQUAL(conf.pidfile, path);
    conf_free(&conf);
}

/* In the background nobody reads standard error. */
static void test_daemonise(void)
{
    struct conf_overrides overrides = nothing;

    overrides.daemonise = true;
    begin(ECHO);
    CU_ASSERT_EQUAL(override(&overrides), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "-d"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "syslog"));
    conf_free(&conf);
    begin("[server]\nlog = stderr.log\n" ECHO);
    CU_ASSERT_EQUAL(override(&overrides), 0);
    conf_free(&conf);
}

/* Polling needs a CPU that nobody else wants, unless the user insists. */
static void test_busy_poll(void)
{
    struct conf_overrides overrides = nothing;

    begin("[server]\nworkers = 1\nbusy_poll = 50us\n" ECHO);
    logged();
    overrides.workers = conf_online_cpus();
    CU_ASSERT_EQUAL(override(&overrides), 0);
    CU_ASSERT_EQUAL(conf.busy_poll_us, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged(), "busy_poll is off"));
    CU_ASSERT_EQUAL(override(&overrides), 0); /* it is said only where there is something to say */
    check_logged("");
    conf_free(&conf);

    begin("[server]\nbusy_poll = 50us\nbusy_poll_force = on\n" ECHO);
    CU_ASSERT_EQUAL(override(&overrides), 0);
    CU_ASSERT_EQUAL(conf.busy_poll_us, 50);
    check_logged("");
    conf_free(&conf);

    begin("[server]\nbusy_poll = 50us\n" ECHO);
    overrides.workers = conf_online_cpus() - 1;
    if (overrides.workers > 0) {
        CU_ASSERT_EQUAL(override(&overrides), 0);
        CU_ASSERT_EQUAL(conf.busy_poll_us, 50);
        check_logged("");
    }
    conf_free(&conf);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"no change", test_no_change},
        {"values", test_values},
        {"pools", test_pools},
        {"sections", test_sections},
        {"service keys", test_service_keys},
        {"addresses", test_addresses},
        {"listeners", test_listeners},
        {"long names", test_long_names},
        {"override nothing", test_override_nothing},
        {"override", test_override},
        {"override pidfile", test_override_pidfile},
        {"daemonise", test_daemonise},
        {"busy poll", test_busy_poll},
        {0},
    };
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(conf_path, sizeof(conf_path), "%s/conf", folder);
    snprintf(log_path, sizeof(log_path), "%s/log", folder);
    if (log_open(log_path) < 0)
        return EXIT_FAILURE;
    int result = unit_main("conf_diff", tests);
    unlink(conf_path);
    unlink(log_path);
    rmdir(folder);
    return result;
}
