/*
 * The status over HTTP: how long a client may take, and lines of requests one by one. The rest is tested with the whole
 * server (tests/regress/test_status.py).
 */
#include "tests/unit/world.h"
#include "worker/services/status/http.h"

extern const struct service status_service;

/* ---- a client that takes its time ---- */

static void closed(struct session *session, enum close_reason reason)
{
    (void)session;
    (void)reason;
    closes++; /* the world counts with it */
}

static void begin(void)
{
    static char hosts[OPTION_STRING_SIZE];

    world_begin(FRAMING_LINE);
    service = status_service;
    service.close = closed;
    config.service_config = hosts;
    config.max_frame = service.max_frame;
    world_connect();
}

/* How long it took until the server has ended it. */
static uint64_t await_end(bool (*condition)(void))
{
    uint64_t begin_ms = clock_now_ms();

    for (unsigned i = 0; i < 20 && !run_until(condition); i++)
        ;
    CU_ASSERT(got_end);
    return clock_now_ms() - begin_ms;
}

static void test_silent(void)
{
    begin();
    uint64_t took_ms = await_end(has_got_end);
    CU_ASSERT(took_ms >= 10 * 1000 && took_ms < 11 * 1000);
    CU_ASSERT_EQUAL(got_size, 0);
    world_end();
}

/* Whoever says a line now and then is not idle, but does not come to an end either. */
static bool drip(void)
{
    static uint64_t last_ms;

    if (peer >= 0 && clock_now_ms() - last_ms > 1000 && !got_end) {
        last_ms = clock_now_ms();
        offer("X: y\r\n", 6);
    }
    return has_got_end();
}

static void test_slow(void)
{
    begin();
    say("GET / HTTP/1.1\r\n");
    uint64_t took_ms = await_end(drip);
    CU_ASSERT(took_ms >= 10 * 1000 && took_ms < 13 * 1000);
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 408 ", 13), 0);
    world_end();
}

/* Between two requests there is more time. */
static void test_between(void)
{
    begin();
    say("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    uint64_t took_ms = await_end(has_got_end);
    CU_ASSERT(took_ms >= 30 * 1000 && took_ms < 31 * 1000);
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 200 ", 13), 0);
    world_end();
}

/* Without a master whose memory it could read, there is nothing to show; the page says so itself. */
static void test_without_a_server(void)
{
    begin();
    say("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    await_end(has_got_end);
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 503 ", 13), 0);
    world_end();
}

/* ---- requests ---- */

/* The status that a head, whose lines end in LF, is given; 0: it is not complete. */
static int status_of(struct http_request *request, const char *head)
{
    enum http_status status;

    *request = (struct http_request){.is_begun = false};
    for (const char *end; (end = strchr(head, '\n')); head = end + 1) {
        bool complete = http_line(request, head, (size_t)(end - head), &status);
        if (complete || status != HTTP_OK)
            return (int)status;
    }
    return 0;
}

static void test_requests(void)
{
    struct http_request request;

    CU_ASSERT_EQUAL(status_of(&request, "GET /a?b HTTP/1.1\nHost:a:1 \n"), 0);
    CU_ASSERT_EQUAL(status_of(&request, "\nGET /a?b HTTP/1.1\nHost: \ta:1 \n\n"), 200);
    CU_ASSERT_STRING_EQUAL(request.path, "/a");
    CU_ASSERT_STRING_EQUAL(request.host, "a:1");
    CU_ASSERT(request.has_host && !request.is_head && !request.is_last && !request.accepts_openmetrics);
    CU_ASSERT_EQUAL(status_of(&request, "HEAD / HTTP/1.0\naccept: a, application/OpenMetrics-text;q=1 ,b\n\n"), 200);
    CU_ASSERT(!request.has_host && request.is_head && request.is_last && request.accepts_openmetrics);
    CU_ASSERT_EQUAL(
        status_of(&request, "GET / HTTP/1.0\nConnection: Keep-Alive\nAccept: application/openmetrics-textile\n\n"),
        200);
    CU_ASSERT(!request.is_last && !request.accepts_openmetrics);
    CU_ASSERT_EQUAL(status_of(&request, "GET / HTTP/1.1\nHost: a\nContent-Length: 00\nConnection: upgrade , close\n\n"),
                    200);
    CU_ASSERT(request.is_last);
    CU_ASSERT_EQUAL(status_of(&request, "get / HTTP/1.1\n"), 405);
    CU_ASSERT_EQUAL(status_of(&request, "GET / HTTP/1.2\n"), 505);
    CU_ASSERT_EQUAL(status_of(&request, "GET / http/1.1\n"), 400);
    CU_ASSERT_EQUAL(status_of(&request, "GET / HTTP/1.1 \n"), 400);
    CU_ASSERT_EQUAL(status_of(&request, "GET  / HTTP/1.1\n"), 400);
    CU_ASSERT_EQUAL(status_of(&request, "G@T / HTTP/1.1\n"), 400);
    CU_ASSERT_EQUAL(status_of(&request, "GET /\x7f HTTP/1.1\n"), 400);
    CU_ASSERT_EQUAL(status_of(&request, "GET / HTTP/1.1\nHost: a\nContent-Length:\n"), 400);
}

static void test_hosts(void)
{
    static const char names[] = " one.example,TWO ";
    static const char *const good[] = {"localhost",   "LOCALHOST:80", "127.0.0.1:9995", "[::1]:9995", "[fe80::1]",
                                       "one.example", "two",          "two:1"};
    static const char *const bad[] = {
        "",      ":80",        "[", "[]", "one", "example", "one.example.evil", "127.0.0.1.evil", "localhost.evil",
        "[two]", "[localhost]"};

    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CU_ASSERT_TRUE(http_host_is_allowed(good[i], names));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_FALSE(http_host_is_allowed(bad[i], names));
    CU_ASSERT_FALSE(http_host_is_allowed("two", ""));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"silent", test_silent},
        {"slow", test_slow},
        {"between", test_between},
        {"without a server", test_without_a_server},
        {"requests", test_requests},
        {"hosts", test_hosts},
        {0},
    };
    return unit_main("status", tests);
}
