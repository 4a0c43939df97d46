/*
 * Names that nobody can plant, and files that are removed only while they are ours.
 */
#include "common/clock.h"
#include "common/file.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make(const char *name, struct file_id *id)
{
    struct stat status;
    int fd = open(path_of(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    CU_ASSERT_FATAL(fd >= 0 && fstat(fd, &status) == 0);
    *id = file_id_of(&status);
    close(fd);
}

static void begin(void)
{
    strcpy(folder, "/tmp/ccs-file-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void end(void)
{
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

/* Where there is room for one letter, it is another one. */
static void test_random_name_is_another(void)
{
    const char *path = "/a/b/s";
    char name[PATH_MAX];

    for (unsigned i = 0; i < 2000; i++) {
        file_random_name(path, strlen(path), name);
        CU_ASSERT(strlen(name) == strlen(path) && strncmp(name, "/a/b/", 5) == 0 && strcmp(name, path) != 0);
    }
    file_random_name(path, PATH_MAX - 1, name);
    CU_ASSERT(strncmp(name, "/a/b/s.", 7) == 0 && strlen(name) == strlen(path) + 7);
}

static void test_removed_while_ours(void)
{
    struct file_id first, second;

    begin();
    make("f", &first);
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &first), 0);
    make("f", &second);
    if (memcmp(&first, &second, sizeof(first)) != 0) { /* the file system may give the inode out again */
        CU_ASSERT_EQUAL(file_remove(path_of("f"), &first), -1);
    }
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &second), 0);
    end();
}

/* Somebody holds a lock on the folder for ever: it is waited for once, not for every file. */
static void test_locked_folder(void)
{
    enum { FILES = 60 };
    struct file_id ids[FILES];
    char name[16];

    begin();
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CU_ASSERT_EQUAL_FATAL(flock(lock, LOCK_EX), 0);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        make(name, &ids[i]);
    }
    uint64_t begun_ms = clock_now_ms();
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        CU_ASSERT_EQUAL(file_remove(path_of(name), &ids[i]), 0);
    }
    CU_ASSERT(clock_now_ms() - begun_ms < FILES * 100 / 4);
    close(lock);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"a random name is another one", test_random_name_is_another},
        {"removed while ours", test_removed_while_ours},
        {"locked folder", test_locked_folder},
        {0},
    };
    return unit_main("file", tests);
}
