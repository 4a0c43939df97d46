/*
 * What every unit test program shares: a table of tests as main(), descriptors that nobody forgets, and repeatable
 * chance.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "common/sanitized.h"
#include <CUnit/Basic.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNIT_PATIENCE_S = 120 }; /* a program that hangs is ended by SIGALRM: red, not stuck */

struct unit_test {
    const char *name; /* NULL ends the table */
    void (*run)(void);
};

/* ---- descriptors: after a test as many are open as before it ---- */

static unsigned unit_fds;            /* before the test */
static void (*unit_closing)(int fd); /* a test that wants to know what is closed */

static inline unsigned unit_count_fds(bool print)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        char target[100] = "";
        if (print && readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) > 0)
            printf("\n    descriptor %s: %s", entry->d_name, target);
        count++;
    }
    if (folder)
        closedir(folder);
    return count;
}

static inline void unit_before(void)
{
    unit_fds = unit_count_fds(false);
}

static inline void unit_after(void)
{
    if (unit_count_fds(false) == unit_fds)
        return;
    CU_FAIL("descriptors have been left open, or closed");
    unit_count_fds(true);
}

/* A call that succeeds may leave anything in errno, and here it does: who needs what was in it has kept it. */
int close(int fd)
{
    if (unit_closing)
        unit_closing(fd);
    int result = (int)syscall(SYS_close, fd);
    if (result == 0)
        errno = EXFULL;
    return result;
}

static inline int unit_main(const char *suite_name, const struct unit_test *tests)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* a program that crashes says where */
    alarm(UNIT_PATIENCE_S);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return EXIT_FAILURE;
    CU_pSuite suite = CU_add_suite_with_setup_and_teardown(suite_name, NULL, NULL, unit_before, unit_after);
    for (; tests->name; tests++)
        if (!CU_add_test(suite, tests->name, tests->run))
            return EXIT_FAILURE;
    CU_ErrorCode error = CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures() + CU_get_number_of_failure_records();
    CU_cleanup_registry();
    return error == CUE_SUCCESS && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The same sequence in every run: xorshift64*. `state` starts as any seed but 0. */
static inline uint64_t unit_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

/* 0 .. limit - 1 */
static inline size_t unit_below(uint64_t *state, size_t limit)
{
    return (size_t)((unit_random(state) >> 16) % limit);
}

#endif
