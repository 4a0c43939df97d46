/*
 * The session log: which sessions have a line at their end, and what it says of each, also when they take turns.
 */
#include "common/log_line.h"
#include "tests/unit/crowd.h"
#include "worker/session_log.h"
#include <dlfcn.h>

static char path[] = "/tmp/ccs-session-log-XXXXXX";
static FILE *log_file;
static unsigned observed;
static bool no_memory;

FILE *fmemopen(void *bytes, size_t size, const char *mode)
{
    static FILE *(*real)(void *, size_t, const char *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fmemopen");
    return no_memory ? NULL : real(bytes, size, mode);
}

static void observe(enum log_level level, const char *text)
{
    (void)level;
    (void)text;
    observed++;
}

/* What has been logged since the last time. */
static char *logged(void)
{
    static char text[1 << 16];

    clearerr(log_file);
    text[fread(text, 1, sizeof(text) - 1, log_file)] = '\0';
    return text;
}

static void log_begin(enum framing_kind kind, enum session_log which)
{
    crowd_begin(kind);
    config.session_log = which;
    logged();
    observed = 0;
}

/* The lines end with this, in the order in which the sessions have ended. */
static void check_lines(const char *const *ends)
{
    char *rest = logged();

    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        const char *text = strstr(line, "session ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        CU_ASSERT_PTR_NOT_NULL(strstr(line, " info "));
        CU_ASSERT_PTR_NOT_NULL_FATAL(*ends);
        const char *figures = strstr(text, " s, ");
        CU_ASSERT_PTR_NOT_NULL_FATAL(figures);
        if (strcmp(figures + strlen(" s, "), *ends) != 0) {
            printf("\n     %s\nnot: %s\n", line, *ends);
            CU_FAIL("another line");
        }
        ends++;
    }
    CU_ASSERT_PTR_NULL(*ends);
}

/* The message comes back, and another one goes to everybody else. */
static enum verdict answer_all(struct session *session, const char *bytes, size_t size)
{
    for (unsigned i = 0; i < guest_count; i++)
        if (guests[i].session != session && guests[i].session)
            session_send(guests[i].session, "to others", 9);
    session_send(session, bytes, size);
    return SESSION_CONTINUE;
}

static void test_everybody_has_their_own(void)
{
    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    act.message = answer_all;
    struct guest *a = crowd_connect(), *b = crowd_connect(), *c = crowd_connect();
    crowd_say(a, "one\ntwo\n");
    crowd_say(b, "four\nun");
    run_turns(SOON);
    crowd_say(a, "x\n");
    crowd_say(b, "finished\n");
    run_turns(SOON);
    crowd_receive(a); /* what is unread would make it a reset */
    crowd_receive(c);
    crowd_hang_up(c);
    run_turns(SOON);
    crowd_hang_up(a);
    run_turns(SOON);
    crowd_end();
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].messages_in), 5);
    check_lines((const char *const[]){"0 messages, 0 bytes in, 45 bytes out, peer",
                                      "3 messages, 10 bytes in, 25 bytes out, peer",
                                      "2 messages, 16 bytes in, 41 bytes out, drain", NULL});
}

/* Nobody reads for a while: what is sent when the kernel takes it again is still theirs. */
static void test_queued(void)
{
    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    act.message = answer_all;
    struct guest *a = crowd_connect(), *b = crowd_connect();
    send_limit = 0;
    crowd_say(a, "one\n");
    run_turns(SOON);
    send_limit = 2;
    crowd_say(b, "two\n");
    run_turns(4 * SOON);
    send_limit = SIZE_MAX;
    crowd_got(a, "oneto others");
    crowd_got(b, "to otherstwo");
    shutdown(a->peer, SHUT_WR);
    run_turns(SOON);
    shutdown(b->peer, SHUT_WR);
    run_turns(SOON);
    crowd_end();
    check_lines((const char *const[]){"1 messages, 4 bytes in, 12 bytes out, peer",
                                      "1 messages, 4 bytes in, 12 bytes out, peer", NULL});
}

/* An owner whose input counts a message, lets the input of the next guest go on, and counts another one. */
static void count_around(struct conn *conn, const char *bytes, size_t size)
{
    const unsigned next = (unsigned)*bytes;

    (void)conn;
    stats_count(&stats.listeners[0].messages_in, size);
    if (next < guest_count) {
        struct conn *other = &guests[next].session->client;
        const char after = (char)(next + 1);
        other->owner->input(other, &after, size + 1);
    }
    stats_count(&stats.listeners[0].messages_in, size);
}

/* Messages that are handed over within the input of another session are not the other one's. */
static void test_input_within_another(void)
{
    static const struct conn_owner counting = {.input = count_around};

    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    for (unsigned i = 0; i < 3; i++)
        crowd_connect();
    const struct conn_owner *usual = listener.section.client_owner;
    const struct conn_owner *logged_one = session_log_owner(&listener.section, &counting);
    CU_ASSERT_PTR_EQUAL(session_log_owner(&listener.section, &counting), logged_one);
    for (unsigned i = 0; i < 3; i++)
        guests[i].session->client.owner = logged_one;
    logged_one->input(&guests[0].session->client, "\1", 1);
    for (unsigned i = 0; i < 3; i++)
        guests[i].session->client.owner = usual;
    for (unsigned i = 0; i < 3; i++) {
        crowd_hang_up(&guests[i]);
        run_turns(SOON);
    }
    crowd_end();
    check_lines((const char *const[]){"2 messages, 0 bytes in, 0 bytes out, peer",
                                      "4 messages, 0 bytes in, 0 bytes out, peer",
                                      "6 messages, 0 bytes in, 0 bytes out, peer", NULL});
}

static enum verdict end_as_told(struct session *session, const char *bytes, size_t size)
{
    (void)session;
    (void)size;
    return bytes[0] == 'c' ? SESSION_CLOSE : bytes[0] == 'r' ? SESSION_REJECT : SESSION_ABORT;
}

/* One session for each of these ends. */
static void end_in_all_ways(void)
{
    static const char *const words[] = {"c\n", "r\n", "a\n"};

    for (unsigned i = 0; i < 3; i++) {
        struct guest *guest = crowd_connect();
        crowd_say(guest, words[i]);
        run_turns(SOON);
        crowd_hang_up(guest);
        run_turns(SOON);
    }
    struct guest *guest = crowd_connect();
    crowd_hang_up(guest);
    run_turns(SOON);
    crowd_end();
}

static void test_errors(void)
{
    log_begin(FRAMING_LINE, SESSION_LOG_ERRORS);
    act.message = end_as_told;
    end_in_all_ways();
    check_lines((const char *const[]){"1 messages, 2 bytes in, 0 bytes out, protocol", NULL});
    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    act.message = end_as_told;
    end_in_all_ways();
    check_lines((const char *const[]){
        "1 messages, 2 bytes in, 0 bytes out, done", "1 messages, 2 bytes in, 0 bytes out, protocol",
        "1 messages, 2 bytes in, 0 bytes out, done", "0 messages, 0 bytes in, 0 bytes out, peer", NULL});
}

static void test_orderly(void)
{
    char orderly[256] = "";

    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        if (close_is_orderly((enum close_reason)i)) {
            strcat(orderly, close_reason_name((enum close_reason)i));
            strcat(orderly, " ");
        }
    CU_ASSERT_STRING_EQUAL(orderly, "done peer leaving ");
}

/* Who has asked for the log gets it, whatever the level; and it does not crowd out what the master shows as events. */
static void test_level(void)
{
    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    log_set_level(LOG_LEVEL_ERROR);
    log_set_observer(observe);
    crowd_connect();
    run_turns(SOON);
    crowd_end();
    log_error("an event");
    CU_ASSERT_EQUAL(observed, 1);
    log_set_observer(NULL);
    log_set_level(LOG_LEVEL_INFO);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged(), " bytes out, drain\n"));
}

static void test_duration(void)
{
    unsigned seconds, ms;

    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    crowd_connect();
    run_turns(1);
    skipped_ms += 12040;
    run_turns(1);
    crowd_end();
    const char *text = strstr(logged(), "session unix: of test: ");
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_EQUAL_FATAL(sscanf(text, "session unix: of test: %u.%u s,", &seconds, &ms), 2);
    CU_ASSERT(seconds == 12 && ms >= 40 && ms < 900);
}

static void test_json(void)
{
    char expected[256];

    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    config.session_log_format = SESSION_LOG_JSON;
    strcpy(config.pool_name, "main");
    log_set_role("worker \"7\"");
    struct guest *guest = crowd_connect();
    crowd_say(guest, "one\n");
    run_turns(SOON);
    crowd_end();
    log_set_role("test");
    const char *text = logged();
    static const char begin[] = "{\"type\":\"session\",\"time\":\"20";
    CU_ASSERT_EQUAL(strncmp(text, begin, strlen(begin)), 0);
    snprintf(expected, sizeof(expected),
             "Z\",\"worker\":\"worker \\\"7\\\"\",\"pid\":%d,\"pool\":\"main\",\"listener\":\"test\","
             "\"service\":\"crowd\",\"peer\":\"unix:\",\"reason\":\"drain\",\"duration_ms\":",
             (int)getpid());
    CU_ASSERT_PTR_NOT_NULL(strstr(text, expected));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ",\"messages\":1,\"bytes_in\":4,\"bytes_out\":0}\n"));
    CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
}

/* The longest names there can be: still one whole object. */
static void test_longest_json(void)
{
    char role[64];

    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    config.session_log_format = SESSION_LOG_JSON;
    memset(config.pool_name, 'p', STATS_POOL_SIZE - 1);
    memset(config.name, 'n', sizeof(config.name) - 1);
    memset(role, '"', sizeof(role) - 1);
    role[sizeof(role) - 1] = '\0';
    log_set_role(role);
    crowd_connect();
    crowd_end();
    log_set_role("test");
    const char *text = logged();
    CU_ASSERT(strlen(text) > 400 && strlen(text) < LOG_LINE_SIZE - 200);
    CU_ASSERT_STRING_EQUAL(text + strlen(text) - 2, "}\n");
}

/* A line that cannot be made is lost and counted, as one that cannot be written. */
static void test_no_memory(void)
{
    log_begin(FRAMING_LINE, SESSION_LOG_ALL);
    config.session_log_format = SESSION_LOG_JSON;
    const uint64_t before = log_dropped();
    no_memory = true;
    crowd_connect();
    crowd_end();
    no_memory = false;
    CU_ASSERT_STRING_EQUAL(logged(), "");
    CU_ASSERT_EQUAL(log_dropped(), before + 1);
}

/* Where nobody asks for it, nothing is different: not the size of a session, nor who its connection belongs to. */
static void test_off(void)
{
    size_t sizes[2];

    for (unsigned on = 0; on < 2; on++) {
        log_begin(FRAMING_LINE, on ? SESSION_LOG_ERRORS : SESSION_LOG_OFF);
        struct guest *guest = crowd_connect();
        const struct conn_owner *owner = guest->session->client.owner;
        sizes[on] = listener.section.session_size;
        CU_ASSERT_EQUAL(session_log_owner(&listener.section, owner) != owner, on);
        CU_ASSERT_EQUAL(section_of(guest->session)->client_owner, owner);
        crowd_end();
        CU_ASSERT_EQUAL(logged()[0] != '\0', on);
    }
    CU_ASSERT(sizes[0] < sizes[1]);
    CU_ASSERT_EQUAL(sizes[0], sizeof(struct session) + sizeof(struct guest *) + sizeof(struct session_tail));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"everybody has their own", test_everybody_has_their_own},
        {"queued", test_queued},
        {"input within another", test_input_within_another},
        {"errors", test_errors},
        {"orderly ends", test_orderly},
        {"whatever the level", test_level},
        {"duration", test_duration},
        {"JSON", test_json},
        {"the longest JSON", test_longest_json},
        {"no memory", test_no_memory},
        {"off", test_off},
        {0},
    };
    int fd = mkstemp(path);

    if (fd < 0 || log_open(path) < 0 || !(log_file = fdopen(fd, "r")))
        return EXIT_FAILURE;
    int result = unit_main("session log", tests);
    fclose(log_file);
    unlink(path);
    return result;
}
