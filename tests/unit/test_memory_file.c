/*
 * Memory files: theirs is no file system, so the limit for the size of files does not end a server that starts under it.
 */
#include "common/memory_file.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PAGE = 4096, HARD = 1 << 20, NOBODY = 65534 };

static void test_create(void)
{
    char path[32], target[64] = "";
    struct stat status;
    int fd = memory_file_create("of this test", 5 * PAGE);

    CU_ASSERT_FATAL(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CU_ASSERT(readlink(path, target, sizeof(target) - 1) > 0);
    CU_ASSERT_STRING_EQUAL(target, "/memfd:of this test (deleted)");
    CU_ASSERT(fstat(fd, &status) == 0 && status.st_size == 5 * PAGE);
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    close(fd);
}

/* What the kernel says is what the caller gets, and nothing is left open. */
static void test_too_large(void)
{
    errno = 0;
    CU_ASSERT_EQUAL(memory_file_create("x", SIZE_MAX), -1);
    CU_ASSERT_EQUAL(errno, EINVAL);
}

/* In a child, since a hard limit cannot be raised again: true when all of it is as it should be. */
static bool is_made_beyond(rlim_t soft, rlim_t hard, size_t size, int error)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard}, after = {0};
        struct stat file = {0};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) < 0 || (geteuid() == 0 && setuid(NOBODY) < 0))
            _exit(10);
        errno = 0;
        int fd = memory_file_create("x", size);
        if (errno != error && error)
            _exit(11);
        if (error ? fd != -1 : fd < 0 || fstat(fd, &file) < 0 || file.st_size != (off_t)size)
            _exit(12);
        if (getrlimit(RLIMIT_FSIZE, &after) < 0 || after.rlim_cur != soft || after.rlim_max != hard)
            _exit(13);
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    if (status)
        printf("\n    status %#x: ", (unsigned)status);
    return status == 0;
}

static void test_soft_limit(void)
{
    CU_ASSERT(is_made_beyond(PAGE, HARD, 2 * PAGE, 0));
    CU_ASSERT(is_made_beyond(PAGE, HARD, HARD, 0));
    CU_ASSERT(is_made_beyond(PAGE, RLIM_INFINITY, 2 * HARD, 0));
}

static void test_hard_limit(void)
{
    CU_ASSERT(is_made_beyond(PAGE, HARD, HARD + PAGE, EFBIG));
    CU_ASSERT(is_made_beyond(PAGE, PAGE, 2 * PAGE, EFBIG));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"create", test_create},
        {"too large", test_too_large},
        {"soft limit", test_soft_limit},
        {"hard limit", test_hard_limit},
        {0},
    };
    return unit_main("memory_file", tests);
}
