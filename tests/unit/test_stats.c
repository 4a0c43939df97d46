/*
 * Counters: seen across processes, kept across deaths, and their sums agree.
 */
#include "common/stats.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NUMBER = 5, OWNER = 4711 };

static int fd;
static struct stats_area *area;

static void begin(void)
{
    fd = stats_create();
    CU_ASSERT_FATAL(fd >= 0);
    area = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
}

static void end(void)
{
    CU_ASSERT_EQUAL(munmap(area, sizeof(*area)), 0);
    close(fd);
}

static struct stats_block *take(unsigned number)
{
    struct stats_block *block = stats_take(area, number, OWNER);

    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    return block;
}

/* A child that counts and dies without a word. */
static void count_in_child(struct stats_block *block, void (*work)(struct stats_block *block))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        work(block);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

static void some_work(struct stats_block *block)
{
    struct stats_listener *listener = &block->listeners[3];

    stats_count(&block->turns, 100);
    stats_count(&block->longest_turn_us, 500);
    stats_count(&block->accept_pauses, 2);
    stats_count(&listener->accepted, 10);
    stats_count(&listener->closed[CLOSE_peer], 3);
    stats_count(&listener->closed[CLOSE_idle], 1);
    stats_count(&listener->bytes_in, (uint64_t)5 << 32);
    stats_count(&listener->messages_out, 7);
    stats_count(&block->listeners[STATS_LISTENERS_MAX - 1].accepted, 1);
    stats_count(&block->listeners[STATS_LISTENERS_MAX - 1].closed[CLOSE_memory], 1);
}

static uint64_t closed(const struct stats_listener *listener)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        sum += stats_read(&listener->closed[i]);
    return sum;
}

static void check_identity(const struct stats_block *block)
{
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++) {
        const struct stats_listener *listener = &block->listeners[i];
        CU_ASSERT_EQUAL(stats_read(&listener->accepted),
                        stats_open(listener) + closed(listener) + stats_read(&listener->lost));
    }
}

/* Free, and nothing is left of whoever had it. */
static void check_free(const struct stats_block *block)
{
    static const struct stats_block zero;

    CU_ASSERT_EQUAL(memcmp(block, &zero, sizeof(zero)), 0);
}

static void check_nothing_counted(const struct stats_block *block)
{
    static const struct stats_block zero;
    size_t begin = offsetof(struct stats_block, turns);

    CU_ASSERT_EQUAL(memcmp((const char *)block + begin, (const char *)&zero + begin, sizeof(zero) - begin), 0);
}

/* ---- the area ---- */

static void test_create(void)
{
    struct stat status;

    begin();
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(area->layout, STATS_LAYOUT);
    CU_ASSERT_EQUAL(area->upgrades, 0);
    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        CU_ASSERT_STRING_EQUAL(area->names[i], "");
    for (unsigned i = 0; i < 3; i++) {
        check_free(&area->blocks[i]);
        CU_ASSERT_EQUAL((uintptr_t)&area->blocks[i] % 64, 0);
    }
    check_free(&area->blocks[STATS_PROCESSES_MAX - 1]);
    check_free(&area->books[STATS_NUMBERS_MAX - 1].total);
    CU_ASSERT_EQUAL(fstat(fd, &status), 0);
    CU_ASSERT(status.st_blocks * 512 < (off_t)sizeof(struct stats_area) / 2); /* what is not used costs nothing */
    end();
}

static void check_refused(int file, int error)
{
    errno = 0;
    CU_ASSERT_PTR_NULL(stats_attach(file));
    CU_ASSERT_EQUAL(errno, error);
}

static void test_layout(void)
{
    uint64_t layout = STATS_LAYOUT;
    int ends[2];

    begin();
    for (unsigned i = 0; i < 3; i++) {
        uint64_t other = i == 0 ? layout - 1 : i == 1 ? layout + 64 : 0;
        CU_ASSERT_EQUAL(pwrite(fd, &other, sizeof(other), offsetof(struct stats_area, layout)), sizeof(other));
        check_refused(fd, EPROTO);
    }
    CU_ASSERT_EQUAL(pwrite(fd, &layout, sizeof(layout), offsetof(struct stats_area, layout)), sizeof(layout));
    struct stats_area *again = stats_attach(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    munmap(again, sizeof(*again));
    end();
    check_refused(-1, EBADF);
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    check_refused(ends[0], ESPIPE);
    close(ends[0]);
    close(ends[1]);
    int empty = memfd_create("empty", MFD_CLOEXEC);
    check_refused(empty, EPROTO);
    close(empty);
}

/* Without a file it is as good for all who are forked later; nor is one needed where files may not grow. */
static void test_without_file(void)
{
    signal(SIGXFSZ, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, RLIM_INFINITY});
        _exit(stats_create() >= 0 ? 0 : 1); /* up to the hard limit it may */
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);

    struct stats_area *without = stats_without_file();
    CU_ASSERT_PTR_NOT_NULL_FATAL(without);
    if (fork() == 0) {
        stats_count(&without->blocks[7].turns, 3);
        _exit(0);
    }
    wait(NULL);
    CU_ASSERT_EQUAL(without->layout, STATS_LAYOUT);
    CU_ASSERT_EQUAL(stats_read(&without->blocks[7].turns), 3);
    munmap(without, sizeof(*without));
}

/* A block goes to one process, whoever else looks for one at the same time. */
static void test_take(void)
{
    begin();
    struct stats_block *first = take(0), *second = take(STATS_NUMBERS_MAX - 1);
    CU_ASSERT_PTR_NOT_EQUAL(first, second);
    CU_ASSERT_EQUAL(first->taken, 1);
    CU_ASSERT_EQUAL(second->taken, STATS_NUMBERS_MAX);
    CU_ASSERT(first->owner == OWNER && first->pid == 0);
    CU_ASSERT(area->blocks_used >= 2);
    check_nothing_counted(first);
    end();
}

static void test_all_taken(void)
{
    begin();
    for (unsigned i = 0; i < STATS_PROCESSES_MAX; i++)
        take(i % STATS_NUMBERS_MAX);
    for (unsigned i = 0; i < STATS_PROCESSES_MAX; i++)
        CU_ASSERT(area->blocks[i].taken);
    errno = 0;
    CU_ASSERT_PTR_NULL(stats_take(area, 0, OWNER));
    CU_ASSERT_EQUAL(errno, ENOMEM);
    stats_fold(area, &area->blocks[2000]);
    CU_ASSERT_PTR_EQUAL(stats_take(area, 7, OWNER), &area->blocks[2000]);
    CU_ASSERT_EQUAL(area->blocks[2000].taken, 8);
    CU_ASSERT_PTR_NULL(stats_take(area, 0, OWNER));
    end();
}

enum { TAKES = 1000 };

static void take_many(struct stats_area *from, pid_t owner)
{
    for (unsigned i = 0; i < TAKES; i++)
        if (!stats_take(from, NUMBER, owner))
            _exit(1);
}

/* Two masters at the same time, each with its own mapping. */
static void test_take_together(void)
{
    unsigned count[2] = {0};
    int status;

    begin();
    pid_t pid = fork();
    if (pid == 0) {
        struct stats_area *own = stats_attach(fd);
        if (!own || own == area)
            _exit(1);
        take_many(own, 1);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    take_many(area, 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    for (unsigned i = 0; i < STATS_PROCESSES_MAX; i++)
        if (area->blocks[i].taken) {
            CU_ASSERT(i < area->blocks_used);
            count[area->blocks[i].owner]++;
        }
    CU_ASSERT_EQUAL(count[0], TAKES);
    CU_ASSERT_EQUAL(count[1], TAKES);
    end();
}

static void test_shared(void)
{
    begin();
    struct stats_block *before = take(NUMBER), *block = take(NUMBER), *after = take(NUMBER);
    count_in_child(block, some_work);
    check_nothing_counted(before);
    check_nothing_counted(after);
    CU_ASSERT_EQUAL(stats_read(&block->turns), 100);
    CU_ASSERT_EQUAL(stats_read(&block->listeners[3].accepted), 10);
    CU_ASSERT_EQUAL(stats_read(&block->listeners[3].bytes_in), (uint64_t)5 << 32);
    CU_ASSERT_EQUAL(stats_open(&block->listeners[3]), 6);
    CU_ASSERT_EQUAL(stats_open(&block->listeners[STATS_LISTENERS_MAX - 1]), 0);
    check_identity(block);
    end();
}

/* What another process sees that maps the same file: an older master's totals, and what its workers count now. */
static void test_attached_twice(void)
{
    int status;

    begin();
    struct stats_block *block = take(NUMBER);
    count_in_child(block, some_work);
    stats_fold(area, block);
    CU_ASSERT_PTR_EQUAL(take(NUMBER), block);
    stats_count(&area->upgrades, 1);
    CU_ASSERT_EQUAL(stats_index(area, "echo", (const bool[STATS_LISTENERS_MAX]){0}), 0);
    pid_t pid = fork();
    if (pid == 0) {
        static struct stats_block total;
        munmap(area, sizeof(*area)); /* and nothing of what fork() has copied */
        struct stats_area *own = stats_attach(fd);
        if (!own)
            _exit(1);
        stats_sum(own, NUMBER, &total);
        if (stats_read(&total.listeners[3].accepted) != 10 || stats_read(&own->upgrades) != 1 ||
            strcmp(own->names[0], "echo") != 0 || own->blocks[0].taken != NUMBER + 1)
            _exit(2);
        some_work(&own->blocks[0]);
        stats_count(&own->books[NUMBER].respawns[RESPAWN_hang], 3);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(stats_read(&block->listeners[3].accepted), 10);
    CU_ASSERT_EQUAL(stats_read(&area->books[NUMBER].respawns[RESPAWN_hang]), 3);
    end();
}

/* ---- the dead ---- */

static void test_fold(void)
{
    const struct stats_block *total;

    begin();
    total = &area->books[NUMBER].total;
    for (unsigned life = 1; life <= 3; life++) {
        struct stats_block *block = take(NUMBER);
        block->pid = 17;
        count_in_child(block, some_work);
        stats_fold(area, block);
        check_free(block);
        check_identity(total);
        const struct stats_listener *listener = &total->listeners[3];
        CU_ASSERT_EQUAL(stats_read(&listener->accepted), life * 10);
        CU_ASSERT_EQUAL(stats_read(&listener->lost), life * 6);
        CU_ASSERT_EQUAL(stats_open(listener), 0);
        CU_ASSERT_EQUAL(stats_read(&listener->closed[CLOSE_peer]), life * 3);
        CU_ASSERT_EQUAL(stats_read(&listener->closed[CLOSE_idle]), life);
        CU_ASSERT_EQUAL(stats_read(&listener->bytes_in), life * ((uint64_t)5 << 32));
        CU_ASSERT_EQUAL(stats_read(&total->listeners[STATS_LISTENERS_MAX - 1].lost), 0);
        CU_ASSERT_EQUAL(stats_read(&total->turns), life * 100);
        CU_ASSERT_EQUAL(stats_read(&total->accept_pauses), life * 2);
        CU_ASSERT_EQUAL(stats_read(&total->longest_turn_us), 500);
    }
    for (unsigned i = 499; i <= 501; i++) {
        struct stats_block *block = take(NUMBER);
        stats_count(&block->longest_turn_us, i);
        stats_fold(area, block);
        CU_ASSERT_EQUAL(stats_read(&total->longest_turn_us), i > 500 ? i : 500);
    }
    check_free(&area->books[NUMBER - 1].total);
    check_free(&area->books[NUMBER + 1].total);
    end();
}

/* The living of a number, however many there are of it at a time, and the dead; nobody else's. */
static void test_sum(void)
{
    static struct stats_block total;

    begin();
    for (unsigned i = 0; i < 4; i++) {
        struct stats_block *block = take(NUMBER);
        some_work(block);
        stats_count(&block->longest_turn_us, i);
        if (i < 2)
            stats_fold(area, block);
    }
    some_work(take(NUMBER - 1));
    some_work(take(NUMBER + 1));
    memset(&total, 0xff, sizeof(total));
    stats_sum(area, NUMBER, &total);
    check_identity(&total);
    CU_ASSERT_EQUAL(stats_read(&total.turns), 400);
    CU_ASSERT_EQUAL(stats_read(&total.accept_pauses), 8);
    CU_ASSERT_EQUAL(stats_read(&total.longest_turn_us), 503);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[3].accepted), 40);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[3].lost), 12);
    CU_ASSERT_EQUAL(stats_open(&total.listeners[3]), 12);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[4].accepted), 0);
    stats_sum(area, 0, &total);
    check_nothing_counted(&total);
    end();
}

static pid_t dead_pid(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void test_sweep(void)
{
    const pid_t self = getpid(), init = 1, none = 0, dead_owner = dead_pid(), dead_worker = dead_pid();
    const struct {
        pid_t owner, pid;
        bool gone;
    } cases[] = {
        {self, self, false},
        {self, dead_worker, false}, /* it reaps its own */
        {init, dead_worker, false}, /* the other master does so; also when it is not ours to signal */
        {dead_owner, init, false},  /* it still drains */
        {dead_owner, self, false},
        {dead_owner, none, false}, /* being started, for all one can know */
        {dead_owner, dead_worker, true},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    struct stats_block *blocks[CASES];

    begin();
    for (unsigned i = 0; i < CASES; i++) {
        blocks[i] = stats_take(area, i, cases[i].owner);
        CU_ASSERT_PTR_NOT_NULL_FATAL(blocks[i]);
        blocks[i]->pid = cases[i].pid;
        some_work(blocks[i]);
    }
    for (unsigned round = 0; round < 2; round++) {
        stats_sweep(area, self);
        for (unsigned i = 0; i < CASES; i++) {
            CU_ASSERT_EQUAL(blocks[i]->taken, cases[i].gone ? 0 : i + 1);
            CU_ASSERT_EQUAL(stats_read(&blocks[i]->turns), cases[i].gone ? 0 : 100);
            CU_ASSERT_EQUAL(stats_read(&area->books[i].total.turns), cases[i].gone ? 100 : 0);
            CU_ASSERT_EQUAL(stats_read(&area->books[i].total.listeners[3].lost), cases[i].gone ? 6 : 0);
        }
    }
    end();
}

/* ---- names ---- */

static void fill_names(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};
    char name[STATS_NAME_SIZE];

    for (int i = 0; i < STATS_LISTENERS_MAX; i++) {
        snprintf(name, sizeof(name), "name %d", i);
        CU_ASSERT_EQUAL(stats_index(area, name, keep), i); /* a free one is taken before one that is not kept */
    }
}

static void test_index(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};
    char longest[STATS_NAME_SIZE];

    begin();
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    int echo = stats_index(area, "echo", keep), bank = stats_index(area, "bank", keep),
        long_one = stats_index(area, longest, keep);
    CU_ASSERT_FATAL(echo >= 0 && bank >= 0 && long_one >= 0);
    CU_ASSERT(echo != bank && echo != long_one && bank != long_one);
    CU_ASSERT_STRING_EQUAL(area->names[bank], "bank");
    CU_ASSERT_EQUAL(stats_index(area, "bank", keep), bank);
    CU_ASSERT_EQUAL(stats_index(area, "echo", keep), echo);
    CU_ASSERT_EQUAL(stats_index(area, longest, keep), long_one);
    CU_ASSERT_NOT_EQUAL(stats_index(area, "ech", keep), echo);
    end();
}

static void test_names_are_kept(void)
{
    bool keep[STATS_LISTENERS_MAX];
    char name[STATS_NAME_SIZE];

    begin();
    fill_names();
    memset(keep, true, sizeof(keep));
    CU_ASSERT_EQUAL(stats_index(area, "one more", keep), -1);
    for (int i = 0; i < STATS_LISTENERS_MAX; i++) {
        snprintf(name, sizeof(name), "name %d", i);
        CU_ASSERT_STRING_EQUAL(area->names[i], name);
        CU_ASSERT_EQUAL(stats_index(area, name, keep), i);
    }
    end();
}

/* All that a number has counted, for whatever listener. */
static uint64_t accepted_by(unsigned number)
{
    uint64_t sum = stats_read(&area->books[number].forgotten.accepted);

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        sum += stats_read(&area->books[number].total.listeners[i].accepted);
    return sum;
}

/* The name that nobody needs makes room, and what was counted under it is set aside; the others' counts stay. */
static void test_names_are_recycled(void)
{
    enum { GONE = 77, NUMBERS = 3 };
    static const unsigned numbers[NUMBERS] = {0, NUMBER, STATS_NUMBERS_MAX - 1};
    bool keep[STATS_LISTENERS_MAX];

    begin();
    fill_names();
    for (unsigned i = 0; i < NUMBERS; i++) {
        struct stats_block *block = take(numbers[i]);
        for (unsigned j = 0; j < STATS_LISTENERS_MAX; j++)
            stats_count(&block->listeners[j].accepted, j + 1);
        stats_count(&block->listeners[GONE].closed[CLOSE_reset], 1);
        stats_fold(area, block);
    }
    memset(keep, true, sizeof(keep));
    keep[GONE] = false;
    CU_ASSERT_EQUAL(stats_index(area, "name 77", keep), GONE); /* still there: nothing is forgotten */
    CU_ASSERT_EQUAL(stats_read(&area->books[0].total.listeners[GONE].accepted), GONE + 1);
    CU_ASSERT_EQUAL(stats_index(area, "one more", keep), GONE);
    CU_ASSERT_STRING_EQUAL(area->names[GONE], "one more");
    for (unsigned i = 0; i < NUMBERS; i++) {
        const struct stats_listener *listeners = area->books[numbers[i]].total.listeners;
        static const struct stats_listener zero;
        CU_ASSERT_EQUAL(memcmp(&listeners[GONE], &zero, sizeof(zero)), 0);
        for (unsigned j = 0; j < STATS_LISTENERS_MAX; j++)
            CU_ASSERT_EQUAL(stats_read(&listeners[j].lost), j == GONE ? 0 : j + 1);
        CU_ASSERT_EQUAL(stats_read(&area->books[numbers[i]].forgotten.accepted), GONE + 1);
        CU_ASSERT_EQUAL(stats_read(&area->books[numbers[i]].forgotten.closed[CLOSE_reset]), 1);
        CU_ASSERT_EQUAL(stats_read(&area->books[numbers[i]].forgotten.lost), GONE);
        CU_ASSERT_EQUAL(accepted_by(numbers[i]), STATS_LISTENERS_MAX * (STATS_LISTENERS_MAX + 1) / 2);
    }
    CU_ASSERT_EQUAL(stats_index(area, "yet another", keep), GONE);
    CU_ASSERT_EQUAL(stats_read(&area->books[0].forgotten.accepted), GONE + 1); /* nothing was added to it */
    keep[GONE] = true;
    CU_ASSERT_EQUAL(stats_index(area, "name 77", keep), -1);
    end();
}

/* ---- sums ---- */

static unsigned fill(struct stats_listener *listener)
{
    unsigned n = 0;

#define X(name, help) stats_count(&listener->name, ++n);
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        stats_count(&listener->closed[i], ++n);
    return n;
}

/* No counter is forgotten: all of them are 8 bytes, one after the other. */
static void test_add(void)
{
    struct stats_listener one = {0}, sum = {0};

    CU_ASSERT_EQUAL(fill(&one), sizeof(one) / sizeof(stats_counter));
    stats_add(&sum, &one);
    CU_ASSERT_EQUAL(memcmp(&sum, &one, sizeof(one)), 0);
    stats_add(&sum, &one);
    const stats_counter *counters = (const stats_counter *)&sum;
    for (unsigned i = 0; i < sizeof(one) / sizeof(stats_counter); i++)
        CU_ASSERT_EQUAL(stats_read(&counters[i]), 2 * (i + 1));
}

/* Read while the child is between two counters: never a number below zero. */
static void test_open_is_never_negative(void)
{
    struct stats_listener listener = {0};

    stats_count(&listener.closed[CLOSE_done], 1);
    CU_ASSERT_EQUAL(stats_open(&listener), 0);
    stats_count(&listener.accepted, 3);
    CU_ASSERT_EQUAL(stats_open(&listener), 2);
    stats_count(&listener.lost, 2);
    CU_ASSERT_EQUAL(stats_open(&listener), 0);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"create", test_create},
        {"layout", test_layout},
        {"without a file", test_without_file},
        {"take", test_take},
        {"all taken", test_all_taken},
        {"take together", test_take_together},
        {"shared", test_shared},
        {"attached twice", test_attached_twice},
        {"fold", test_fold},
        {"sum", test_sum},
        {"sweep", test_sweep},
        {"index", test_index},
        {"names are kept", test_names_are_kept},
        {"names are recycled", test_names_are_recycled},
        {"add", test_add},
        {"open is never negative", test_open_is_never_negative},
        {0},
    };
    return unit_main("stats", tests);
}
