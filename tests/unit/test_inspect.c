/*
 * Who is connected, asked over socket pairs: lists with their filters, the end of one session, several who ask at a
 * time, and sessions and askers that end in the middle.
 */
#include "tests/unit/world.h"
#include "worker/inspect.h"
#include "worker/upstream.h"
#include <sys/socket.h>

enum { MANY = 700, ASKERS = 128 };

static int askers[ASKERS + 1], clients[MANY];
static char texts[ASKERS + 1][1 << 17];
static size_t sizes[ASKERS + 1];
static bool ends[ASKERS + 1];
static const char *awaited_word;
static unsigned awaited_asker;

static void begin(void)
{
    world_begin(FRAMING_LINE);
    service.open = NULL; /* there are many sessions: the trace cannot tell them apart */
    service.message = echo_line;
    service.close = NULL;
    env.max_sessions = 2 * MANY;
    world_configure();
    memset(sizes, 0, sizeof(sizes));
    memset(ends, 0, sizeof(ends));
}

/* One more client, from this address. */
static int enter(const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(1000)};
    struct peer_address where;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(inet_pton(AF_INET, address, &from.sin_addr), 1);
    peer_set(&where, (struct sockaddr *)&from);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    CU_ASSERT_EQUAL_FATAL(session_open(&listener.section, fds[1], &where), 0);
    return fds[0];
}

static void enter_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        clients[i] = enter("10.0.0.1");
}

static void leave_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        close(clients[i]);
}

static void open_asker(unsigned i)
{
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    askers[i] = fds[0];
    inspect_open(&core, fds[1]);
}

static void receive(unsigned i)
{
    ssize_t size;

    while ((size = recv(askers[i], texts[i] + sizes[i], sizeof(texts[i]) - sizes[i] - 1, MSG_DONTWAIT)) > 0)
        sizes[i] += (size_t)size;
    ends[i] |= size == 0;
    texts[i][sizes[i]] = '\0';
}

static bool has_word(void)
{
    size_t word = strlen(awaited_word);

    receive(awaited_asker);
    return ends[awaited_asker] || (sizes[awaited_asker] >= word &&
                                   strcmp(texts[awaited_asker] + sizes[awaited_asker] - word, awaited_word) == 0);
}

static void put(unsigned i, const char *question)
{
    sizes[i] = 0;
    CU_ASSERT_EQUAL(write(askers[i], question, strlen(question)), (ssize_t)strlen(question));
}

/* Await the last line of an answer: how many lines there are before it. */
static unsigned expect(unsigned i, const char *word)
{
    unsigned lines = 0;

    awaited_word = word;
    awaited_asker = i;
    CU_ASSERT(run_until(has_word));
    CU_ASSERT_FALSE(ends[i]);
    for (const char *at = texts[i]; (at = strchr(at, '\n')); at++)
        lines++;
    return lines - 1;
}

static bool is_at_end(void)
{
    receive(awaited_asker);
    return ends[awaited_asker];
}

static void expect_end(unsigned i)
{
    awaited_asker = i;
    CU_ASSERT(run_until(is_at_end));
    close(askers[i]);
}

static bool are_gone(void)
{
    return core.session_count == 0;
}

static void end(void)
{
    CU_ASSERT(run_until(are_gone)); /* all clients and askers have left */
    service.close = on_close;
    closes = (unsigned)stats_read(&stats.listeners[0].accepted);
    world_end();
}

static void test_list(void)
{
    begin();
    int one = enter("10.0.0.1"), two = enter("10.0.0.23");
    open_asker(0);
    put(0, "list - -\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(texts[0], "\ttest\t10.0.0.1:1000\t"));
    CU_ASSERT_PTR_NOT_NULL(strstr(texts[0], "\t-\t-\t0\topen\t-\n"));
    put(0, "list test 10.0.0.2\n"); /* the beginning of an address */
    CU_ASSERT_EQUAL(expect(0, "end\n"), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(texts[0], "10.0.0.23:1000"));
    put(0, "list - 10.0.0.\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 2);
    put(0, "list - 10.0.0.3\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 0);
    put(0, "list tes -\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 0);
    put(0, "list inspect -\n"); /* who asks is not among them */
    CU_ASSERT_EQUAL(expect(0, "end\n"), 0);
    close(one);
    close(two);
    close(askers[0]);
    end();
}

/* Questions wait for each other's end. */
static void test_several_questions(void)
{
    begin();
    int one = enter("10.0.0.1");
    open_asker(0);
    put(0, "list - -\nlist - 1\nkill 0 0\nlist - 2\n");
    CU_ASSERT_EQUAL(expect(0, "end\nnone\nend\n"), 6 - 1);
    close(one);
    enter_many();
    put(0, "list - -\nkill 0 0\n"); /* the first one takes several turns */
    CU_ASSERT_EQUAL(expect(0, "end\nnone\n"), MANY + 1);
    leave_many();
    close(askers[0]);
    end();
}

static void test_kill(void)
{
    int pid, fd;
    unsigned long long opened;
    char question[64];

    begin();
    int one = enter("10.0.0.1"), two = enter("10.0.0.2");
    open_asker(0);
    put(0, "list - 10.0.0.1\n");
    expect(0, "end\n");
    CU_ASSERT_EQUAL(sscanf(texts[0], "%d-%d-%llx\t", &pid, &fd, &opened), 3);
    CU_ASSERT_EQUAL(pid, getpid());
    snprintf(question, sizeof(question), "kill %d %llx\n", fd, opened + SESSION_OPENED_MS);
    put(0, question); /* this descriptor, but another time */
    expect(0, "none\n");
    snprintf(question, sizeof(question), "kill %d %llx\n", fd + 1000, opened);
    put(0, question);
    expect(0, "none\n");
    CU_ASSERT_EQUAL(count_closed(CLOSE_killed), 0);
    snprintf(question, sizeof(question), "kill %d %llx\n", fd, opened);
    put(0, question);
    expect(0, "killed\n");
    CU_ASSERT_EQUAL(count_closed(CLOSE_killed), 1);
    char byte;
    CU_ASSERT_EQUAL(recv(one, &byte, 1, MSG_DONTWAIT), 0);
    put(0, question);
    expect(0, "none\n");
    put(0, "list - -\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 1);
    close(one);
    close(two);
    close(askers[0]);
    end();
}

/* More than are looked at in one turn, each once; the second one's turn comes. */
static void test_two_askers(void)
{
    begin();
    enter_many();
    open_asker(0);
    open_asker(1);
    put(0, "list - -\n");
    put(1, "list - 10\n");
    CU_ASSERT_EQUAL(expect(1, "end\n"), MANY);
    CU_ASSERT_EQUAL(expect(0, "end\n"), MANY);
    leave_many();
    close(askers[0]);
    close(askers[1]);
    end();
}

/* Somebody who leaves in the middle keeps nobody else waiting. */
static void test_an_asker_who_leaves(void)
{
    begin();
    enter_many();
    open_asker(0);
    open_asker(1);
    put(0, "list - -\n");
    run_turns(1); /* its walk has begun */
    CU_ASSERT_PTR_NOT_NULL(core.walked);
    put(1, "list - -\n");
    close(askers[0]);
    CU_ASSERT_EQUAL(expect(1, "end\n"), MANY);
    CU_ASSERT_PTR_NULL(core.walked);
    leave_many();
    close(askers[1]);
    end();
}

/* Those that are to be looked at next end between two turns; those that have been are listed. */
static void test_sessions_that_end_meanwhile(void)
{
    begin();
    enter_many();
    open_asker(0);
    put(0, "list - -\n");
    run_turns(1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(core.walked);
    for (unsigned i = 0; i < 300; i++) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(core.walked);
        session_end(core.walked, CLOSE_done);
    }
    CU_ASSERT_EQUAL(expect(0, "end\n"), MANY - 300);
    put(0, "list - -\n");
    run_turns(1);
    while (core.walked) /* and all the rest */
        session_end(core.walked, CLOSE_done);
    expect(0, "end\n");
    leave_many();
    close(askers[0]);
    end();
}

static void test_nonsense(void)
{
    static const char *const lines[] = {"\n",       "list\n",     "list -\n",   "kill\n",
                                        "kill 1\n", "kill x y\n", "frob 1 2\n", "kill - -\n"};

    begin();
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        open_asker(0);
        put(0, lines[i]);
        expect_end(0);
        CU_ASSERT_EQUAL(sizes[0], 0);
        ends[0] = false;
    }
    char endless[1000];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    open_asker(0);
    put(0, endless);
    expect_end(0);
    end();
}

/* One connection more is told so and closed, until there is room again. */
static void test_too_many_askers(void)
{
    begin();
    for (unsigned i = 0; i <= ASKERS; i++)
        open_asker(i);
    expect_end(ASKERS);
    CU_ASSERT_STRING_EQUAL(texts[ASKERS], "busy\n");
    ends[ASKERS] = false;
    for (unsigned i = 0; i < ASKERS; i++) {
        put(i, "list - -\n");
        CU_ASSERT_EQUAL(expect(i, "end\n"), 0);
    }
    close(askers[0]);
    run_turns(3);
    open_asker(0);
    put(0, "list - -\n");
    CU_ASSERT_EQUAL(expect(0, "end\n"), 0);
    for (unsigned i = 0; i < ASKERS; i++)
        close(askers[i]);
    end();
}

/* Descriptors that epoll watches. */
static unsigned watched(void)
{
    char path[64], line[128];
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", core.loop.reactor.epoll_fd);
    FILE *info = fopen(path, "re");
    while (info && fgets(line, sizeof(line), info))
        count += strncmp(line, "tfd:", 4) == 0;
    if (info)
        fclose(info);
    return count;
}

/* The master has not closed its copy of the descriptor yet, when everything is over for us. */
static void test_a_copy_elsewhere(void)
{
    static const struct upstream callbacks = {0};
    int copy, fds[2];

    begin();
    const unsigned before = watched();
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    copy = dup(fds[1]);
    inspect_open(&core, fds[1]);
    run_turns(1);
    CU_ASSERT_EQUAL(watched(), before + 1);
    close(fds[0]);
    run_turns(3);
    CU_ASSERT_EQUAL(watched(), before);
    close(copy);

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    copy = dup(fds[1]);
    int client = enter("10.0.0.1");
    CU_ASSERT_PTR_NOT_NULL(upstream_adopt(LIST_FIRST(&core.live), fds[1], &callbacks));
    run_turns(1);
    CU_ASSERT_EQUAL(watched(), before + 2);
    close(client);
    run_turns(3);
    CU_ASSERT_EQUAL(watched(), before);
    close(fds[0]);
    run_turns(1);
    close(copy);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"list", test_list},
        {"several questions", test_several_questions},
        {"kill", test_kill},
        {"two askers", test_two_askers},
        {"an asker who leaves", test_an_asker_who_leaves},
        {"sessions that end meanwhile", test_sessions_that_end_meanwhile},
        {"nonsense", test_nonsense},
        {"too many askers", test_too_many_askers},
        {"a copy elsewhere", test_a_copy_elsewhere},
        {0},
    };
    return unit_main("inspect", tests);
}
