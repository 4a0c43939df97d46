/*
 * Publishing: what goes into a datagram, who is given it, and what is lost. The worker of this test is its own sibling.
 */
#include "tests/unit/world.h"
#include <fcntl.h>

static char heard[4096];
static size_t heard_size, heard_count;
static int ends[2]; /* of the inbox: [0] is read, [1] written */

static void published(struct section *section, const char *bytes, size_t size)
{
    CU_ASSERT_PTR_EQUAL(section, &listener.section);
    heard_count++;
    if (heard_size + size < sizeof(heard))
        memcpy(heard + heard_size, bytes, size);
    heard_size += size;
}

static void open_inbox(void)
{
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

/* With so many siblings, all of which are this worker. */
static void begin(unsigned siblings)
{
    static struct worker_socket socket;
    static int copies[4];

    world_begin(FRAMING_LINE);
    heard_size = heard_count = 0;
    service.published = published;
    config.index = 7;
    world_configure();
    open_inbox();
    socket.listener = &config;
    env.sockets = &socket;
    env.socket_count = 1;
    listeners.array = &listener;
    env.inbox = ends[0];
    env.siblings = copies;
    env.sibling_count = siblings;
    for (unsigned i = 0; i < siblings; i++)
        copies[i] = dup(ends[1]);
    CU_ASSERT_EQUAL_FATAL(publish_start(&listeners), 0);
}

static void end(void)
{
    publish_fini(&core);
    close(ends[1]);
    env.socket_count = 0;
    world_end();
}

static void say_to_all(const char *text)
{
    CU_ASSERT_EQUAL(section_publish(&listener.section, text, strlen(text)), 0);
}

static bool has_heard_two(void)
{
    return heard_count >= 2;
}

static uint64_t lost(void)
{
    return stats_read(&stats.listeners[0].publications_lost);
}

/* What is published in one turn is one datagram, and stays in order. */
static void test_one_datagram(void)
{
    begin(1);
    say_to_all("first ");
    say_to_all("");
    say_to_all("last");
    CU_ASSERT_EQUAL(recv(ends[0], got, sizeof(got), MSG_PEEK), -1); /* the turn is not over */
    publish_end_turn(&core);
    publish_end_turn(&core); /* nothing is left to be sent */
    CU_ASSERT(run_until(has_heard_two));
    CU_ASSERT_EQUAL(heard_count, 3);
    CU_ASSERT_NSTRING_EQUAL(heard, "first last", heard_size);
    CU_ASSERT_EQUAL(stats_read(&stats.listeners[0].published), 3);
    CU_ASSERT_EQUAL(lost(), 0);
    end();
}

static void test_each_sibling(void)
{
    begin(1);
    publish_add_sibling(&core, dup(ends[1]));
    say_to_all("x");
    publish_end_turn(&core);
    CU_ASSERT(run_until(has_heard_two));
    CU_ASSERT_NSTRING_EQUAL(heard, "xx", 2);
    end();
}

/* Many siblings have come since the start. */
static void test_more_siblings(void)
{
    begin(0);
    for (unsigned i = 0; i < 20; i++)
        publish_add_sibling(&core, dup(ends[1]));
    say_to_all("x");
    publish_end_turn(&core);
    run_turns(4);
    CU_ASSERT_EQUAL(heard_count, 20);
    end();
}

static void test_sizes(void)
{
    static char large[SECTION_PUBLISH_MAX + 1];

    begin(1);
    CU_ASSERT_EQUAL(section_publish(&listener.section, large, sizeof(large)), -1);
    CU_ASSERT_EQUAL(errno, EMSGSIZE);
    for (unsigned i = 0; i < 3; i++) /* two datagrams: one is full */
        CU_ASSERT_EQUAL(section_publish(&listener.section, large, SECTION_PUBLISH_MAX), 0);
    publish_end_turn(&core);
    run_turns(4);
    CU_ASSERT_EQUAL(heard_count, 3);
    CU_ASSERT_EQUAL(heard_size, (size_t)3 * SECTION_PUBLISH_MAX);
    end();
}

static void test_without_published(void)
{
    begin(1);
    service.published = NULL;
    CU_ASSERT_EQUAL(section_publish(&listener.section, "x", 1), -1);
    CU_ASSERT_EQUAL(errno, ENOTSUP);
    end();

    world_begin(FRAMING_LINE); /* nor does any other service of the worker */
    world_configure();
    CU_ASSERT_EQUAL(publish_start(&listeners), 0);
    CU_ASSERT_PTR_NULL(core.publisher);
    publish_end_turn(&core);
    CU_ASSERT_EQUAL(section_publish(&listener.section, "x", 1), -1);
    publish_fini(&core);
    world_end();
}

/* An inbox that is full: nothing blocks, and each message is counted. What has gone in comes out, in order. */
static void test_full(void)
{
    uint64_t sent = 0;

    begin(1);
    while (lost() == 0) {
        CU_ASSERT_FATAL(sent < 100000);
        say_to_all(sent % 2 ? "b" : "a");
        say_to_all(sent % 2 ? "d" : "c");
        publish_end_turn(&core);
        sent++;
    }
    CU_ASSERT_EQUAL(lost(), 2);
    for (unsigned i = 0; heard_count < 2 * (sent - 1) && i < 1000; i++)
        run_turns(1);
    CU_ASSERT_EQUAL(heard_count, 2 * (sent - 1));
    CU_ASSERT_NSTRING_EQUAL(heard, "acbdacbd", 8);
    say_to_all("again");
    publish_end_turn(&core);
    CU_ASSERT_EQUAL(lost(), 2);
    end();
}

/* A sibling whose inbox has been closed is forgotten, without a word. */
static void test_gone(void)
{
    int other[2];

    begin(0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, other), 0);
    publish_add_sibling(&core, other[1]);
    publish_add_sibling(&core, dup(ends[1]));
    close(other[0]);
    say_to_all("x");
    publish_end_turn(&core);
    CU_ASSERT_EQUAL(lost(), 0);
    CU_ASSERT_EQUAL(fcntl(other[1], F_GETFD), -1);
    say_to_all("y");
    publish_end_turn(&core);
    CU_ASSERT(run_until(has_heard_two));
    CU_ASSERT_NSTRING_EQUAL(heard, "xy", 2);
    end();
}

/* Send what a real publication consists of, with one number changed; heard is what is sent behind it. */
static void send_changed(unsigned at, uint32_t change, const char *text)
{
    char datagram[64];
    uint32_t number;

    say_to_all(text);
    publish_end_turn(&core);
    ssize_t size = recv(ends[0], datagram, sizeof(datagram), 0);
    CU_ASSERT_FATAL(size > 12);
    memcpy(&number, datagram + (size_t)4 * at, sizeof(number));
    number += change;
    memcpy(datagram + (size_t)4 * at, &number, sizeof(number));
    CU_ASSERT_EQUAL(send(ends[1], datagram, (size_t)size, 0), size);
    run_turns(2);
    CU_ASSERT_EQUAL(recv(ends[0], datagram, sizeof(datagram), 0), -1); /* it has been read */
}

/* A sibling may be damaged, or of another generation. */
static void test_nonsense(void)
{
    begin(1);
    send_changed(0, 1, "no section");
    send_changed(1, 1, "another service");
    send_changed(2, 1, "too short");
    send_changed(2, UINT32_MAX - 40, "a size that wraps around"); /* behind its heading */
    CU_ASSERT_EQUAL(send(ends[1], "12345678901", 11, 0), 11);
    run_turns(4);
    CU_ASSERT_EQUAL(heard_count, 0);
    say_to_all("sound");
    say_to_all("!");
    publish_end_turn(&core);
    CU_ASSERT(run_until(has_heard_two));
    CU_ASSERT_NSTRING_EQUAL(heard, "sound!", 6);
    end();
}

/* What was published in the last turn of a worker goes out. */
static void test_last_words(void)
{
    begin(1);
    say_to_all("bye");
    int inbox = dup(ends[0]);
    publish_fini(&core);
    CU_ASSERT_EQUAL(recv(inbox, got, sizeof(got), 0), 15);
    close(inbox);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"one datagram", test_one_datagram},
        {"each sibling", test_each_sibling},
        {"more siblings", test_more_siblings},
        {"sizes", test_sizes},
        {"without `published`", test_without_published},
        {"full", test_full},
        {"gone", test_gone},
        {"nonsense", test_nonsense},
        {"last words", test_last_words},
        {0},
    };
    return unit_main("publish", tests);
}
