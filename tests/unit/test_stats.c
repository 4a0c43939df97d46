/*
 * Counters: seen across processes, kept across deaths, and their sums agree.
 */
#include "common/stats.h"
#include "common/stats_count.h"
#include "common/stats_file.h"
#include "common/stats_number.h"
#include "tests/unit/unit.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NUMBER = 5 };

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
    stats_detach(area);
    close(fd);
}

static struct stats_block *take(unsigned number)
{
    struct stats_block *block = stats_take(area, number, getpid());

    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    return block;
}

/* How a worker comes and goes: its status as from waitpid(). */
static int run_worker(struct stats_block *block, void (*work)(struct stats_block *block))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        struct stats_block *own = stats_enter(area, block);
        if (!own)
            _exit(99);
        work(own);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    return status;
}

/* A worker that counts and dies without a word. */
static void count_in_child(struct stats_block *block, void (*work)(struct stats_block *block))
{
    CU_ASSERT_EQUAL(run_worker(block, work), 0);
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

static void check_nothing_counted(const struct stats_block *block)
{
    static const struct stats_block zero;
    size_t begin = offsetof(struct stats_block, turns),
           end = offsetof(struct stats_block, listeners) + sizeof(zero.listeners);

    CU_ASSERT_EQUAL(memcmp((const char *)block + begin, (const char *)&zero + begin, end - begin), 0);
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
    CU_ASSERT_EQUAL(area->entries[STATS_PROCESSES_MAX - 1].taken, 0);
    check_nothing_counted(&area->totals[STATS_NUMBERS_MAX - 1].total);
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

/* A block goes to one worker, whoever else looks for one at the same time. */
static void test_take(void)
{
    begin();
    struct stats_block *first = take(0), *second = take(STATS_NUMBERS_MAX - 1);
    CU_ASSERT_PTR_NOT_EQUAL(first, second);
    CU_ASSERT_EQUAL(first->taken, 1);
    CU_ASSERT_EQUAL(second->taken, STATS_NUMBERS_MAX);
    CU_ASSERT(area->entries[0].owner == getpid() && area->entries[0].pid == 0 && area->entries[0].taken == 1);
    CU_ASSERT(area->entries[0].serial && area->entries[1].serial && area->entries[0].serial != area->entries[1].serial);
    CU_ASSERT(area->blocks_used == 2 && area->numbers_used == STATS_NUMBERS_MAX);
    CU_ASSERT_EQUAL((uintptr_t)first % 64, 0);
    check_nothing_counted(first);
    stats_set_pid(area, second, 17);
    CU_ASSERT(area->entries[0].pid == 0 && area->entries[1].pid == 17);
    end();
}

/* Entries that the other master has taken: none is left, and one that is freed is enough. */
static void test_all_taken(void)
{
    begin();
    for (unsigned i = 0; i < STATS_PROCESSES_MAX; i++)
        if (i != 2000)
            area->entries[i].taken = i % STATS_NUMBERS_MAX + 1;
    struct stats_block *block = take(7);
    CU_ASSERT_EQUAL(area->entries[2000].taken, 8);
    errno = 0;
    CU_ASSERT_PTR_NULL(stats_take(area, 0, getpid()));
    CU_ASSERT_EQUAL(errno, ENOMEM);
    stats_fold(area, block);
    CU_ASSERT_EQUAL(area->entries[2000].taken, 0);
    take(9);
    CU_ASSERT_EQUAL(area->entries[2000].taken, 10);
    end();
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static unsigned mappings(void)
{
    FILE *in = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned count = 0;

    while (in && fgets(line, sizeof(line), in))
        count += strstr(line, "ccserver-stats") != NULL;
    if (in)
        fclose(in);
    return count;
}

/* What a worker has is gone with it. */
static void test_nothing_is_left(void)
{
    unsigned files, maps;

    begin();
    files = open_files();
    maps = mappings();
    for (unsigned i = 0; i < 50; i++) {
        struct stats_block *block = take(NUMBER);
        count_in_child(block, some_work);
        CU_ASSERT_EQUAL(mappings(), maps + 1);
        stats_fold(area, block);
        CU_ASSERT(open_files() == files && mappings() == maps);
        CU_ASSERT_EQUAL(area->blocks_used, 1);
    }
    end();
}

enum { TAKES = 100 };

static void take_many(struct stats_area *from)
{
    for (unsigned i = 0; i < TAKES; i++)
        if (!stats_take(from, NUMBER, getpid()))
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
        take_many(own);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    take_many(area);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    for (unsigned i = 0; i < STATS_PROCESSES_MAX; i++)
        if (area->entries[i].taken) {
            CU_ASSERT(i < area->blocks_used);
            count[area->entries[i].owner == pid]++;
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
    CU_ASSERT(area->entries[1].pid > 0 && area->entries[0].pid == 0); /* the worker has said who it is */
    check_identity(block);
    end();
}

/* ---- what a worker can reach ---- */

static void look_around(struct stats_block *block)
{
    if (mappings() != 1)
        _exit(1);
    for (int file = 0; file < 100; file++)               /* a seal can be read of memory files only */
        if (fcntl(file, F_GET_SEALS) >= 0 && file != fd) /* the area's is closed by the master's own hand */
            _exit(2);
    stats_count(&block->turns, 1);
}

static void test_a_worker_has_its_own_block_only(void)
{
    begin();
    for (unsigned i = 0; i < 5; i++)
        take(i);
    struct stats_block *block = take(NUMBER);
    take(NUMBER + 1);
    count_in_child(block, look_around);
    CU_ASSERT_EQUAL(stats_read(&block->turns), 1);
    end();
}

static void write_to_area(struct stats_block *block)
{
    (void)block;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make a report of it */
    area->numbers_used = UINT32_MAX;
}

static void test_a_worker_has_no_area(void)
{
    begin();
    int status = run_worker(take(NUMBER), write_to_area);
    CU_ASSERT(WIFSIGNALED(status));
    CU_ASSERT_EQUAL(area->numbers_used, NUMBER + 1);
    end();
}

static void count_in_grandchild(struct stats_block *block)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        stats_count(&block->turns, 1);
        _exit(0);
    }
    _exit(waitpid(pid, &status, 0) == pid && status ? 0 : 1);
}

/* A worker that hangs is not kept alive by a process of its own. */
static void test_a_block_has_one_writer(void)
{
    begin();
    struct stats_block *block = take(NUMBER);
    count_in_child(block, count_in_grandchild);
    CU_ASSERT_EQUAL(stats_read(&block->turns), 0);
    end();
}

static void test_the_file_is_sealed(void)
{
    struct stat status;
    int file = stats_file_create(NUMBER, getpid());

    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT(fcntl(file, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(fstat(file, &status), 0);
    CU_ASSERT(status.st_size >= (off_t)sizeof(struct stats_block) && status.st_blocks * 512 >= status.st_size);
    errno = 0;
    CU_ASSERT(ftruncate(file, 0) < 0 && errno == EPERM);
    errno = 0;
    CU_ASSERT(ftruncate(file, status.st_size + 4096) < 0 && errno == EPERM);
    errno = 0;
    CU_ASSERT(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
    close(file);
}

/* ---- nonsense ---- */

static void test_head(void)
{
    begin();
    struct stats_block *block = take(NUMBER);
    CU_ASSERT_PTR_NULL(stats_error(block, NUMBER, getpid()));
    CU_ASSERT_PTR_NOT_NULL(stats_error(block, NUMBER - 1, getpid()));
    CU_ASSERT_PTR_NOT_NULL(stats_error(block, NUMBER, 1));
    block->layout++;
    CU_ASSERT_PTR_NOT_NULL(stats_error(block, NUMBER, getpid()));
    block->layout--;
    stats_count(&block->turns, 1);
    stats_count(&block->listeners[3].accepted, 1);
    block->taken = 0x40000000;
    CU_ASSERT_PTR_NOT_NULL(stats_error(block, NUMBER, getpid()));
    static struct stats_block total;
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    CU_ASSERT_EQUAL(stats_read(&total.turns) + stats_read(&total.listeners[3].accepted), 0);
    stats_fold(area, block); /* what it says of its slot is not asked, and nothing of it counts */
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    CU_ASSERT_EQUAL(stats_read(&total.turns) + stats_read(&total.listeners[3].accepted), 0);
    CU_ASSERT_EQUAL(area->entries[0].taken, 0);
    end();
}

static void deny(struct stats_block *block)
{
    memset(&block->listeners[7].closed, 0x41, sizeof(block->listeners[7].closed));
}

static void lose(struct stats_block *block)
{
    stats_count(&block->listeners[3].lost, 1); /* that is for the master to say */
}

static void exceed(struct stats_block *block)
{
    stats_count(&block->listeners[3].bytes_in, UINT64_C(1) << 60);
}

static void overflow(struct stats_block *block)
{
    stats_count(&block->listeners[7].accepted, 5);
    stats_count(&block->listeners[7].closed[0], UINT64_MAX / 2 + 1);
    stats_count(&block->listeners[7].closed[1], UINT64_MAX / 2 + 1);
}

static void turn_for_ever(struct stats_block *block)
{
    stats_count(&block->longest_turn_us, UINT64_MAX);
}

static void pause_for_ever(struct stats_block *block)
{
    stats_count(&block->accept_pauses, UINT64_C(1) << 56);
}

static void drop_all(struct stats_block *block)
{
    stats_count(&block->log_dropped, UINT64_C(1) << 63);
}

static void never_rest(struct stats_block *block)
{
    stats_count(&block->turns, UINT64_C(1) << 62);
}

/* What stands before the listeners, and is dropped together; the listeners count. */
static void test_counters_of_the_process(void)
{
    static void (*const forgeries[])(struct stats_block * block) = {turn_for_ever, pause_for_ever, drop_all,
                                                                    never_rest};
    const bool keep[STATS_LISTENERS_MAX] = {false};
    static struct stats_block total;

    for (unsigned i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        begin();
        stats_index(area, "echo", 0, keep);
        struct stats_block *block = take(NUMBER);
        stats_count(&block->listeners[0].accepted, 3);
        CU_ASSERT_PTR_NULL(stats_counters_error(area, block));
        forgeries[i](block);
        CU_ASSERT_PTR_NOT_NULL(stats_counters_error(area, block));
        for (unsigned folded = 0; folded < 2; folded++) {
            stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
            CU_ASSERT_EQUAL(stats_read(&total.turns) | stats_read(&total.longest_turn_us) |
                                stats_read(&total.accept_pauses) | stats_read(&total.log_dropped),
                            0);
            CU_ASSERT_EQUAL(stats_read(&total.listeners[0].accepted), 3);
            if (!folded)
                stats_fold(area, block);
        }
        end();
    }
}

static void test_counters(void)
{
    static void (*const forgeries[])(struct stats_block * block) = {deny, lose, exceed, overflow};
    const bool keep[STATS_LISTENERS_MAX] = {false};
    char name[STATS_NAME_SIZE];
    static struct stats_block total;

    begin();
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof(name), "%d", i);
        CU_ASSERT_EQUAL(stats_index(area, name, 0, keep), i);
    }
    for (unsigned i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        struct stats_block *block = take(NUMBER);
        count_in_child(block, some_work);
        CU_ASSERT_PTR_NULL(stats_counters_error(area, block));
        count_in_child(block, forgeries[i]);
        CU_ASSERT_PTR_NOT_NULL(stats_counters_error(area, block));
        stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
        check_identity(&total);
        stats_fold(area, block);
        check_identity(&area->totals[NUMBER].total);
    }
    /* Of two forgeries the listener is not that of the work; the third one's work is lost. */
    CU_ASSERT_EQUAL(stats_read(&area->totals[NUMBER].total.listeners[3].accepted), 30);
    CU_ASSERT_EQUAL(stats_read(&area->totals[NUMBER].total.listeners[7].accepted), 0);
    end();
}

/* ---- two masters ---- */

static int orders[2], answers[2];

static void wait_for(const int *ends)
{
    char byte;

    if (read(ends[0], &byte, 1) != 1)
        _exit(98);
}

static void go_on(const int *ends)
{
    CU_ASSERT_EQUAL(write(ends[1], "", 1), 1);
}

/* The other master: it has a worker that counts, which it folds, or dies instead, when it is told to go on. */
static pid_t start_other_master(bool dies)
{
    CU_ASSERT(pipe(orders) == 0 && pipe(answers) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        munmap(area, sizeof(*area)); /* and nothing of what fork() has copied */
        area = stats_attach(fd);
        struct stats_block *block = area ? stats_take(area, NUMBER, getpid()) : NULL;
        if (!block)
            _exit(1);
        if (run_worker(block, some_work) != 0)
            _exit(2);
        stats_count(&area->upgrades, 1);
        go_on(answers);
        wait_for(orders);
        if (!dies)
            stats_fold(area, block);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    wait_for(answers);
    return pid;
}

static void end_other_master(pid_t pid)
{
    int status;

    go_on(orders);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    for (unsigned i = 0; i < 2; i++) {
        close(orders[i]);
        close(answers[i]);
    }
}

static uint64_t accepted_by_all(void)
{
    static struct stats_block total;

    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    check_identity(&total);
    return stats_read(&total.listeners[3].accepted);
}

static void test_the_other_masters_worker_is_seen(void)
{
    begin();
    unsigned maps = mappings();
    pid_t pid = start_other_master(false);
    CU_ASSERT_EQUAL(accepted_by_all(), 0);
    stats_watch(area, getpid());
    CU_ASSERT_EQUAL(accepted_by_all(), 10);
    stats_watch(area, getpid());
    CU_ASSERT_EQUAL(mappings(), maps + 1);
    end_other_master(pid);
    CU_ASSERT_EQUAL(accepted_by_all(), 10); /* once, though we still have it mapped */
    stats_watch(area, getpid());
    CU_ASSERT_EQUAL(mappings(), maps);
    CU_ASSERT_EQUAL(stats_read(&area->totals[NUMBER].total.listeners[3].lost), 6);
    CU_ASSERT_EQUAL(stats_read(&area->upgrades), 1);
    end();
}

static void test_the_other_masters_worker_outlives_it(void)
{
    begin();
    unsigned maps = mappings();
    pid_t pid = start_other_master(true);
    stats_watch(area, getpid());
    end_other_master(pid);
    CU_ASSERT_EQUAL(accepted_by_all(), 10);
    stats_sweep(area, getpid());
    CU_ASSERT_EQUAL(accepted_by_all(), 10);
    CU_ASSERT_EQUAL(stats_read(&area->totals[NUMBER].total.listeners[3].lost), 6);
    CU_ASSERT(mappings() == maps && area->entries[0].taken == 0);
    end();
}

/* It has gone before anybody looked: its entry is freed, and nothing else happens. */
static void test_what_was_never_seen(void)
{
    begin();
    pid_t pid = start_other_master(true);
    end_other_master(pid);
    stats_sweep(area, getpid());
    CU_ASSERT(accepted_by_all() == 0 && area->entries[0].taken == 0);
    end();
}

/* What another process has under that number is not mapped. */
static void test_not_the_file_of_a_block(void)
{
    int unsealed = memfd_create("x", MFD_CLOEXEC), ends[2];

    CU_ASSERT(unsealed >= 0 && pipe(ends) == 0);
    CU_ASSERT_EQUAL(ftruncate(unsealed, sizeof(struct stats_block) / 4096 * 4096 + 4096), 0);
    const int others[] = {unsealed, ends[0], ends[1], 12345};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CU_ASSERT_EQUAL(stats_file_open(getpid(), others[i]), -1);
    int sealed = stats_file_create(NUMBER, 1), opened = stats_file_open(getpid(), sealed);
    CU_ASSERT(opened >= 0);
    close(opened);
    close(sealed);
    close(unsealed);
    close(ends[0]);
    close(ends[1]);
}

/* ---- the dead ---- */

static void test_fold(void)
{
    const struct stats_block *total;

    begin();
    total = &area->totals[NUMBER].total;
    for (unsigned life = 1; life <= 3; life++) {
        struct stats_block *block = take(NUMBER);
        count_in_child(block, some_work);
        stats_fold(area, block);
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
    check_nothing_counted(&area->totals[NUMBER - 1].total);
    check_nothing_counted(&area->totals[NUMBER + 1].total);
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
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    check_identity(&total);
    CU_ASSERT_EQUAL(stats_read(&total.turns), 400);
    CU_ASSERT_EQUAL(stats_read(&total.accept_pauses), 8);
    CU_ASSERT_EQUAL(stats_read(&total.longest_turn_us), 503);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[3].accepted), 40);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[3].lost), 12);
    CU_ASSERT_EQUAL(stats_open(&total.listeners[3]), 12);
    CU_ASSERT_EQUAL(stats_read(&total.listeners[4].accepted), 0);
    stats_sum(area, 0, STATS_LISTENERS_MAX, &total);
    check_nothing_counted(&total);
    end();
}

/* A service counts what no client has asked for, too: while its worker lives, and when that is gone. */
static void test_own_counters_without_clients(void)
{
    static struct stats_block total;

    begin();
    struct stats_block *block = take(NUMBER);
    stats_count(&block->listeners[3].own[2], 7);
    stats_count(&block->listeners[4].publications_lost, 5);
    for (unsigned i = 0; i < 2; i++) {
        stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
        CU_ASSERT_EQUAL(stats_read(&total.listeners[3].own[2]), 7);
        CU_ASSERT_EQUAL(stats_read(&total.listeners[4].publications_lost), 5);
        if (i == 0)
            stats_fold(area, block);
    }
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

    begin();
    for (unsigned i = 0; i < CASES; i++) {
        struct stats_block *block = take(i);
        some_work(block);
        area->entries[i].owner = block->owner = cases[i].owner;
        area->entries[i].pid = cases[i].pid;
    }
    for (unsigned round = 0; round < 2; round++) {
        stats_sweep(area, self);
        for (unsigned i = 0; i < CASES; i++) {
            CU_ASSERT_EQUAL(area->entries[i].taken, cases[i].gone ? 0 : i + 1);
            CU_ASSERT_EQUAL(stats_read(&area->totals[i].total.turns), cases[i].gone ? 100 : 0);
            CU_ASSERT_EQUAL(stats_read(&area->totals[i].total.listeners[3].lost), cases[i].gone ? 6 : 0);
        }
    }
    uint32_t at = 0;
    for (unsigned i = 3; i < 6; i++) /* those whose master is gone */
        CU_ASSERT_PTR_EQUAL(stats_orphan(area, self, &at), &area->entries[i]);
    CU_ASSERT_PTR_NULL(stats_orphan(area, self, &at));
    end();
}

/* ---- names ---- */

static void fill_names(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};
    char name[STATS_NAME_SIZE];

    for (int i = 0; i < STATS_LISTENERS_MAX; i++) {
        snprintf(name, sizeof(name), "name %d", i);
        CU_ASSERT_EQUAL(stats_index(area, name, 0, keep), i); /* a free one is taken before one that is not kept */
    }
}

static void test_index(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};
    char longest[STATS_NAME_SIZE];

    begin();
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    int echo = stats_index(area, "echo", 0, keep), bank = stats_index(area, "bank", 0, keep),
        long_one = stats_index(area, longest, 0, keep);
    CU_ASSERT_FATAL(echo >= 0 && bank >= 0 && long_one >= 0);
    CU_ASSERT(echo != bank && echo != long_one && bank != long_one);
    CU_ASSERT_STRING_EQUAL(area->names[bank], "bank");
    CU_ASSERT_EQUAL(stats_index(area, "bank", 0, keep), bank);
    CU_ASSERT_EQUAL(stats_index(area, "echo", 0, keep), echo);
    CU_ASSERT_EQUAL(stats_index(area, longest, 0, keep), long_one);
    CU_ASSERT_NOT_EQUAL(stats_index(area, "ech", 0, keep), echo);
    end();
}

static void test_names_are_kept(void)
{
    bool keep[STATS_LISTENERS_MAX];
    char name[STATS_NAME_SIZE];

    begin();
    fill_names();
    memset(keep, true, sizeof(keep));
    CU_ASSERT_EQUAL(stats_index(area, "one more", 0, keep), -1);
    for (int i = 0; i < STATS_LISTENERS_MAX; i++) {
        snprintf(name, sizeof(name), "name %d", i);
        CU_ASSERT_STRING_EQUAL(area->names[i], name);
        CU_ASSERT_EQUAL(stats_index(area, name, 0, keep), i);
    }
    end();
}

/* All that a number has counted, for whatever listener. */
static uint64_t accepted_by(unsigned number)
{
    uint64_t sum = stats_read(&area->totals[number].forgotten.accepted);

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        sum += stats_read(&area->totals[number].total.listeners[i].accepted);
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
    CU_ASSERT_EQUAL(stats_index(area, "name 77", 0, keep), GONE); /* still there: nothing is forgotten */
    CU_ASSERT_EQUAL(stats_read(&area->totals[0].total.listeners[GONE].accepted), GONE + 1);
    CU_ASSERT_EQUAL(stats_index(area, "one more", 0, keep), GONE);
    CU_ASSERT_STRING_EQUAL(area->names[GONE], "one more");
    for (unsigned i = 0; i < NUMBERS; i++) {
        const struct stats_listener *listeners = area->totals[numbers[i]].total.listeners;
        static const struct stats_listener zero;
        CU_ASSERT_EQUAL(memcmp(&listeners[GONE], &zero, sizeof(zero)), 0);
        for (unsigned j = 0; j < STATS_LISTENERS_MAX; j++)
            CU_ASSERT_EQUAL(stats_read(&listeners[j].lost), j == GONE ? 0 : j + 1);
        CU_ASSERT_EQUAL(stats_read(&area->totals[numbers[i]].forgotten.accepted), GONE + 1);
        CU_ASSERT_EQUAL(stats_read(&area->totals[numbers[i]].forgotten.closed[CLOSE_reset]), 1);
        CU_ASSERT_EQUAL(stats_read(&area->totals[numbers[i]].forgotten.lost), GONE);
        CU_ASSERT_EQUAL(accepted_by(numbers[i]), STATS_LISTENERS_MAX * (STATS_LISTENERS_MAX + 1) / 2);
    }
    CU_ASSERT_EQUAL(stats_index(area, "yet another", 0, keep), GONE);
    CU_ASSERT_EQUAL(stats_read(&area->totals[0].forgotten.accepted), GONE + 1); /* nothing was added to it */
    keep[GONE] = true;
    CU_ASSERT_EQUAL(stats_index(area, "name 77", 0, keep), -1);
    end();
}

/* ---- sums ---- */

static unsigned fill(struct stats_listener *listener)
{
    unsigned n = 0;

#define X(name, metric, help) stats_count(&listener->name, ++n);
    STATS_COUNTERS(X)
#undef X
    for (unsigned i = 0; i < CLOSE_REASONS; i++)
        stats_count(&listener->closed[i], ++n);
    for (unsigned i = 0; i < STATS_OWN_COUNTERS; i++)
        stats_count(&listener->own[i], ++n);
    for (unsigned i = 0; i < DURATIONS; i++)
        for (unsigned j = 0; j < DURATION_BUCKETS; j++)
            stats_count(&listener->durations[i][j], ++n);
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

/* ---- numbers of slots ---- */

static void test_numbers(void)
{
    begin();
    CU_ASSERT_EQUAL(stats_find(area, "main", 0), -1);
    CU_ASSERT_EQUAL(stats_number(area, "main", 0), 0);
    CU_ASSERT_EQUAL(stats_number(area, "main", 1), 1);
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), 2);
    CU_ASSERT_EQUAL(stats_number(area, "main", 1), 1);
    CU_ASSERT_EQUAL(stats_find(area, "bank", 0), 2);
    CU_ASSERT_EQUAL(stats_find(area, "bank", 1), -1);
    end();
}

/* Who is gone makes room, and what it has counted is set aside. */
static void test_numbers_are_given_again(void)
{
    begin();
    for (unsigned i = 0; i < STATS_NUMBERS_MAX; i++)
        CU_ASSERT_EQUAL_FATAL(stats_number(area, "main", i), (int)i);
    struct stats_block *alive = take(0), *gone = take(1);
    stats_count(&gone->listeners[5].accepted, 7);
    stats_fold(area, gone);
    stats_count(&area->totals[1].respawns[RESPAWN_exit], 3);
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), 1);
    CU_ASSERT_EQUAL(stats_find(area, "bank", 0), 1);
    CU_ASSERT_EQUAL(stats_find(area, "main", 1), -1);
    CU_ASSERT_EQUAL(stats_read(&area->totals[1].total.listeners[5].accepted), 0);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.total.listeners[5].accepted), 7);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.total.listeners[5].lost), 7);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.respawns[RESPAWN_exit]), 3);
    stats_fold(area, alive);
    end();
}

/* Also what was counted under names that were given away already. */
static void test_renumbered_totals(void)
{
    bool keep[STATS_LISTENERS_MAX];

    begin();
    fill_names();
    for (unsigned i = 0; i < STATS_NUMBERS_MAX; i++)
        CU_ASSERT_EQUAL_FATAL(stats_number(area, "main", i), (int)i);
    struct stats_block *gone = take(0);
    stats_count(&gone->turns, 11);
    stats_count(&gone->listeners[5].accepted, 7);
    stats_count(&gone->listeners[6].accepted, 70);
    stats_fold(area, gone);
    memset(keep, true, sizeof(keep));
    keep[5] = false;
    CU_ASSERT_EQUAL(stats_index(area, "one more", 0, keep), 5);
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), 0);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.total.turns), 11);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.forgotten.accepted), 7);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.total.listeners[6].accepted), 70);
    static const struct stats_totals zero;
    CU_ASSERT_EQUAL(memcmp(&area->totals[0], &zero, sizeof(zero)), 0);
    keep[5] = true;
    keep[6] = false;
    CU_ASSERT_EQUAL(stats_index(area, "yet another", 0, keep), 6); /* its counts are set aside there, too */
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.forgotten.accepted), 77);
    CU_ASSERT_EQUAL(stats_read(&area->renumbered.total.listeners[6].accepted), 0);
    end();
}

/* Each slot has a worker: none makes room. */
static void test_no_number_is_left(void)
{
    begin();
    for (unsigned i = 0; i < STATS_NUMBERS_MAX; i++) {
        CU_ASSERT_EQUAL_FATAL(stats_number(area, "main", i), (int)i);
        area->entries[i].taken = i + 1;
    }
    area->blocks_used = STATS_NUMBERS_MAX;
    errno = 0;
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), -1);
    CU_ASSERT_EQUAL(errno, ENOMEM);
    CU_ASSERT_EQUAL(stats_find(area, "bank", 0), -1);
    CU_ASSERT_EQUAL(stats_find(area, "main", STATS_NUMBERS_MAX - 1), STATS_NUMBERS_MAX - 1);
    area->entries[STATS_NUMBERS_MAX - 1].taken = 0;
    CU_ASSERT_EQUAL(stats_number(area, "bank", 0), STATS_NUMBERS_MAX - 1);
    end();
}

/* The other master is about to give a number out: it is neither free nor found, and those behind it are. */
static void test_a_number_that_changes(void)
{
    begin();
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(stats_number(area, "main", i), (int)i);
    uint32_t known = area->slots[1].state;
    area->slots[1].state = area->slots[3].state = known - 1;
    CU_ASSERT_EQUAL(stats_find(area, "main", 1), -1);
    CU_ASSERT_EQUAL(stats_find(area, "main", 2), 2);
    CU_ASSERT_EQUAL(stats_number(area, "main", 3), 4);
    area->slots[1].state = known;
    CU_ASSERT_EQUAL(stats_find(area, "main", 1), 1);
    end();
}

/* The same name with other counters of its own is another listener. */
static void test_kinds(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};

    begin();
    int first = stats_index(area, "echo", 1, keep), other = stats_index(area, "echo", 2, keep);
    CU_ASSERT(first >= 0 && other >= 0 && first != other);
    CU_ASSERT_EQUAL(stats_index(area, "echo", 1, keep), first);
    CU_ASSERT_EQUAL(stats_index(area, "echo", 2, keep), other);
    CU_ASSERT(area->kinds[first] == 1 && area->kinds[other] == 2);
    end();
}

/* All entries have been used: the last one is looked at everywhere, and nothing behind it. */
static void test_the_last_entry(void)
{
    static struct stats_block total;

    begin();
    for (unsigned i = 0; i + 1 < STATS_PROCESSES_MAX; i++)
        area->entries[i].taken = 1; /* of the other master, which is about to start them */
    struct stats_block *block = take(NUMBER);
    CU_ASSERT(area->blocks_used == STATS_PROCESSES_MAX && area->entries[STATS_PROCESSES_MAX - 1].taken);
    count_in_child(block, some_work);
    CU_ASSERT(area->entries[STATS_PROCESSES_MAX - 1].pid > 0);
    stats_sweep(area, getpid());
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    CU_ASSERT_EQUAL(stats_read(&total.turns), 100);
    CU_ASSERT_PTR_EQUAL(stats_block_of(area, stats_serial(area, block)), block);
    CU_ASSERT_PTR_NULL(stats_block_of(area, UINT64_MAX));
    uint32_t at = 0;
    CU_ASSERT_PTR_NULL(stats_other(area, getpid(), &at));
    stats_fold(area, block);
    end();
}

/* ---- a kernel that refuses ---- */

static unsigned refused_map;               /* the how manieth mmap() from now on fails; 0: none */
static bool is_full, knows_no_such_advice; /* fallocate() and madvise() fail */

void *mmap(void *at, size_t size, int access, int flags, int file, off_t offset)
{
    if (refused_map > 0 && --refused_map == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, size, access, flags, file, offset);
}

int fallocate(int file, int mode, off_t offset, off_t size)
{
    errno = ENOSPC;
    return is_full ? -1 : (int)syscall(SYS_fallocate, file, mode, offset, size);
}

int madvise(void *at, size_t size, int advice)
{
    errno = EINVAL;
    return knows_no_such_advice ? -1 : (int)syscall(SYS_madvise, at, size, advice);
}

/* Each time the entry is free again, and errno is that of what has failed. */
static void check_take_fails(int error)
{
    unsigned maps = mappings();

    errno = 0;
    CU_ASSERT_PTR_NULL(stats_take(area, NUMBER, getpid()));
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT(area->entries[0].taken == 0 && area->entries[0].serial == 0);
    CU_ASSERT_EQUAL(mappings(), maps);
}

static void test_take_fails(void)
{
    begin();
    is_full = true;
    check_take_fails(ENOSPC);
    is_full = false;
    refused_map = 1;
    check_take_fails(ENOMEM);
    knows_no_such_advice = true;
    check_take_fails(EINVAL);
    knows_no_such_advice = false;
    stats_fold(area, take(NUMBER));
    end();
}

static void test_no_area(void)
{
    begin();
    refused_map = 1;
    errno = 0;
    CU_ASSERT_EQUAL(stats_create(), -1);
    CU_ASSERT_EQUAL(errno, ENOMEM);
    refused_map = 1;
    CU_ASSERT_PTR_NULL(stats_attach(fd));
    refused_map = 1;
    CU_ASSERT_PTR_NULL(stats_without_file());
    uint64_t layout = STATS_LAYOUT;
    int shorter = memfd_create("short", MFD_CLOEXEC);
    CU_ASSERT_EQUAL(pwrite(shorter, &layout, sizeof(layout), offsetof(struct stats_area, layout)), sizeof(layout));
    CU_ASSERT_EQUAL(ftruncate(shorter, sizeof(struct stats_area) - 1), 0);
    check_refused(shorter, EPROTO);
    CU_ASSERT_EQUAL(ftruncate(shorter, sizeof(struct stats_area)), 0);
    struct stats_area *whole = stats_attach(shorter);
    CU_ASSERT_PTR_NOT_NULL_FATAL(whole);
    munmap(whole, sizeof(*whole));
    close(shorter);
    end();
}

/* Who only looks cannot write, and what others write is there. */
static void test_view(void)
{
    int status;

    begin();
    struct stats_area *viewed = stats_view(fd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(viewed);
    stats_count(&area->upgrades, 3);
    CU_ASSERT_EQUAL(stats_read(&viewed->upgrades), 3);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        stats_count(&viewed->upgrades, 1);
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFSIGNALED(status));
    munmap(viewed, sizeof(*viewed));
    end();
}

/* An area, or a block, that has no file is there for children all the same. */
static void count_in_area(struct stats_block *block)
{
    (void)block;
    stats_count(&area->upgrades, 1);
}

static void test_without_file(void)
{
    area = stats_without_file();
    CU_ASSERT_PTR_NOT_NULL_FATAL(area);
    CU_ASSERT_EQUAL(area->layout, STATS_LAYOUT);
    pid_t pid = fork();
    if (pid == 0) {
        count_in_area(NULL);
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    CU_ASSERT_EQUAL(stats_read(&area->upgrades), 1);
    struct stats_block *block = take(NUMBER);
    count_in_child(block, some_work);
    CU_ASSERT_EQUAL(stats_read(&block->turns), 100);
    stats_detach(area);
}

/* ---- under a limit for the size of files that nobody can lift ---- */

static const char *other_block;

static void check_block_alone(struct stats_block *block)
{
    unsigned char resident;

    if (mincore((void *)(uintptr_t)other_block, 1, &resident) == 0)
        _exit(1); /* another worker's */
    stats_count(&block->turns, 7);
}

static int use_blocks_without_files(void)
{
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    static struct stats_block total;

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || (geteuid() == 0 && setuid(65534) < 0))
        return 10;
    if (!stats_take(area, NUMBER + 1, getpid())) /* so that neither of the two is the first of all */
        return 15;
    struct stats_block *first = stats_take(area, NUMBER, getpid()), *second = stats_take(area, NUMBER, getpid());
    if (!first || !second || stats_error(first, NUMBER, getpid()))
        return 11;
    other_block = (const char *)first;
    if (run_worker(second, check_block_alone) != 0)
        return 12;
    stats_count(&first->turns, 3);
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    if (stats_read(&total.turns) != 10)
        return 13;
    stats_fold(area, first);
    stats_fold(area, second);
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    return stats_read(&total.turns) == 10 && area->entries[1].taken == 0 ? 0 : 14;
}

static void test_blocks_without_files(void)
{
    int status;

    begin();
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_blocks_without_files());
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    end();
}

/* ---- which worker a block is of ---- */

static void test_serials(void)
{
    begin();
    struct stats_block *first = take(NUMBER), *second = take(NUMBER);
    uint64_t serial = stats_serial(area, first);
    CU_ASSERT(serial > 0 && stats_serial(area, second) > serial);
    CU_ASSERT_PTR_EQUAL(stats_block_of(area, serial), first);
    CU_ASSERT_PTR_EQUAL(stats_block_of(area, stats_serial(area, second)), second);
    CU_ASSERT_PTR_NULL(stats_block_of(area, 0));
    CU_ASSERT_PTR_NULL(stats_block_of(area, stats_serial(area, second) + 1));
    stats_fold(area, first);
    CU_ASSERT_PTR_NULL(stats_block_of(area, serial));
    first = take(NUMBER);
    CU_ASSERT(stats_serial(area, first) > stats_serial(area, second)); /* no two have the same */
    end();
}

/* An entry of another master, which is this process for the sake of the test: the file `file` for slot `number`. */
static struct stats_entry *enter_other(uint32_t at, unsigned number, int file, uint64_t serial)
{
    struct stats_entry *entry = &area->entries[at];

    *entry = (struct stats_entry){.taken = number + 1, .owner = getpid(), .fd = file, .serial = serial};
    area->blocks_used = at + 1;
    return entry;
}

enum { OTHER_MASTER = 1 }; /* who we are in its eyes */

static void check_seen(uint64_t serial, bool is_seen)
{
    stats_watch(area, OTHER_MASTER);
    CU_ASSERT_EQUAL(stats_block_of(area, serial) != NULL, is_seen);
}

/* What has the number of a worker's file by now may be that of another worker, or of none. */
static void test_watched_blocks(void)
{
    int right = stats_file_create(NUMBER, getpid()), wrong = stats_file_create(NUMBER + 1, getpid());

    begin();
    CU_ASSERT(right >= 0 && wrong >= 0);
    struct stats_entry *entry = enter_other(0, NUMBER, wrong, 1);
    check_seen(1, false);
    entry->fd = 12345;
    check_seen(1, false);
    entry->fd = right;
    entry->serial = 0; /* the other master is about to enter it */
    stats_watch(area, OTHER_MASTER);
    CU_ASSERT_EQUAL(mappings(), 1); /* the area */
    entry->serial = 1;
    stats_watch(area, getpid()); /* our own are not watched */
    CU_ASSERT_PTR_NULL(stats_block_of(area, 1));
    refused_map = 1;
    check_seen(1, false);
    check_seen(1, true);
    entry->serial = 2; /* the worker has gone, and another one is entered here */
    check_seen(2, true);
    CU_ASSERT_PTR_NULL(stats_block_of(area, 1));
    CU_ASSERT_EQUAL(mappings(), 2);
    stats_take(area, NUMBER, getpid());
    entry->serial = entry->taken = 0;
    struct stats_block *ours = take(NUMBER); /* takes the place of what is still mapped */
    CU_ASSERT_PTR_EQUAL(stats_block_of(area, stats_serial(area, ours)), ours);
    CU_ASSERT_EQUAL(mappings(), 3);
    close(right);
    close(wrong);
    end();
}

/* Of a worker that has come after the one that we have seen, nothing is folded twice. */
static void test_fold_of_what_was_not_seen(void)
{
    int file = stats_file_create(NUMBER, getpid());
    struct stats_block *block = stats_file_map(file, true);

    begin();
    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    stats_count(&block->turns, 5);
    struct stats_entry *entry = enter_other(0, NUMBER, file, 1);
    stats_watch(area, OTHER_MASTER);
    static struct stats_block total;
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    CU_ASSERT_EQUAL(stats_read(&total.turns), 5);
    entry->serial = 2;
    stats_sum(area, NUMBER, STATS_LISTENERS_MAX, &total);
    CU_ASSERT_EQUAL(stats_read(&total.turns), 0);
    struct stats_block *seen = (struct stats_block *)(uintptr_t)stats_block_of(area, 1);
    stats_fold(area, seen);
    CU_ASSERT_EQUAL(stats_read(&area->totals[NUMBER].total.turns), 0);
    CU_ASSERT(entry->taken == 0 && entry->serial == 0);
    stats_file_unmap(block);
    close(file);
    end();
}

/* Sealed as a block's file, but of another size. */
static void test_size_of_a_file(void)
{
    static const off_t sizes[] = {0, 4096, 1 << 26};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int file = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        CU_ASSERT_EQUAL(ftruncate(file, sizes[i]), 0);
        CU_ASSERT_EQUAL(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
        errno = 0;
        CU_ASSERT_EQUAL(stats_file_open(getpid(), file), -1);
        CU_ASSERT_EQUAL(errno, EBADF);
        close(file);
    }
}

/* One after the other, those that others than ourselves have started, whether these live or not. */
static void test_others(void)
{
    const pid_t self = getpid(), owners[] = {self, 1, self, 1, 2};
    uint32_t at = 0;

    begin();
    for (unsigned i = 0; i < 5; i++) {
        take(i);
        area->entries[i].owner = owners[i];
    }
    area->entries[1].serial = 0;
    CU_ASSERT_PTR_EQUAL(stats_other(area, self, &at), &area->entries[3]);
    CU_ASSERT_PTR_EQUAL(stats_other(area, self, &at), &area->entries[4]);
    CU_ASSERT_PTR_NULL(stats_other(area, self, &at));
    CU_ASSERT_PTR_NULL(stats_other(area, self, &at));
    end();
}

/* Just what no process can have counted, and just less: in each kind of counter. */
static void test_impossible(void)
{
    const bool keep[STATS_LISTENERS_MAX] = {false};

    begin();
    stats_index(area, "echo", 0, keep);
    struct stats_block *block = take(NUMBER);
    struct stats_listener *listener = &block->listeners[0];
    stats_counter *counters[] = {&listener->bytes_in, &listener->own[STATS_OWN_COUNTERS - 1], &listener->accepted,
                                 &block->turns, &block->longest_turn_us};
    for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        atomic_store(counters[i], UINT64_C(1) << 56);
        CU_ASSERT_PTR_NOT_NULL(stats_counters_error(area, block));
        atomic_store(counters[i], (UINT64_C(1) << 56) - 1);
        CU_ASSERT_PTR_NULL(stats_counters_error(area, block));
        atomic_store(counters[i], 0);
    }
    atomic_store(&listener->closed[CLOSE_peer], 5);
    atomic_store(&listener->accepted, 4);
    CU_ASSERT_PTR_NOT_NULL(stats_counters_error(area, block));
    atomic_store(&listener->accepted, 5);
    CU_ASSERT_PTR_NULL(stats_counters_error(area, block));
    end();
}

/* The living and the dead, and what stands behind is left as it was. */
static void test_only_the_first_listeners(void)
{
    static struct stats_block total;

    begin();
    struct stats_block *block = take(NUMBER);
    for (unsigned i = 0; i < 3; i++)
        stats_count(&block->listeners[i].accepted, 10 + i);
    for (unsigned i = 0; i < 2; i++) {
        memset(&total, 0xff, sizeof(total));
        stats_sum(area, NUMBER, 2, &total);
        CU_ASSERT_EQUAL(stats_read(&total.listeners[0].accepted), 10);
        CU_ASSERT_EQUAL(stats_read(&total.listeners[1].accepted), 11);
        CU_ASSERT_EQUAL(stats_read(&total.listeners[2].accepted), UINT64_MAX);
        if (i == 0)
            stats_fold(area, block);
    }
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"create", test_create},
        {"layout", test_layout},
        {"take", test_take},
        {"all taken", test_all_taken},
        {"take together", test_take_together},
        {"nothing is left", test_nothing_is_left},
        {"shared", test_shared},
        {"a worker has its own block only", test_a_worker_has_its_own_block_only},
        {"a worker has no area", test_a_worker_has_no_area},
        {"a block has one writer", test_a_block_has_one_writer},
        {"the file is sealed", test_the_file_is_sealed},
        {"head", test_head},
        {"counters", test_counters},
        {"counters of the process", test_counters_of_the_process},
        {"the other master's worker is seen", test_the_other_masters_worker_is_seen},
        {"the other master's worker outlives it", test_the_other_masters_worker_outlives_it},
        {"what was never seen", test_what_was_never_seen},
        {"not the file of a block", test_not_the_file_of_a_block},
        {"fold", test_fold},
        {"sum", test_sum},
        {"own counters without clients", test_own_counters_without_clients},
        {"sweep", test_sweep},
        {"index", test_index},
        {"names are kept", test_names_are_kept},
        {"kinds", test_kinds},
        {"numbers", test_numbers},
        {"renumbered totals", test_renumbered_totals},
        {"no number is left", test_no_number_is_left},
        {"a number that changes", test_a_number_that_changes},
        {"numbers are given again", test_numbers_are_given_again},
        {"names are recycled", test_names_are_recycled},
        {"add", test_add},
        {"open is never negative", test_open_is_never_negative},
        {"the last entry", test_the_last_entry},
        {"take fails", test_take_fails},
        {"no area", test_no_area},
        {"view", test_view},
        {"without file", test_without_file},
        {"blocks without files", test_blocks_without_files},
        {"serials", test_serials},
        {"watched blocks", test_watched_blocks},
        {"fold of what was not seen", test_fold_of_what_was_not_seen},
        {"size of a file", test_size_of_a_file},
        {"others", test_others},
        {"impossible", test_impossible},
        {"only the first listeners", test_only_the_first_listeners},
        {0},
    };
    return unit_main("stats", tests);
}
