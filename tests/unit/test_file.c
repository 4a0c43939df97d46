/*
 * Names that nobody can plant, and files that are removed only while they are ours.
 */
#include "common/file.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <bsd/string.h>

static char folder[64];

/* ---- what others do at the same time ---- */

static time_t passed_s;            /* nobody waits for it: the clock is put forward */
static unsigned pauses;            /* that have been made while waiting */
static unsigned pauses_until_free; /* of the lock on the folder; 0: nobody lets go of it */
static int lock = -1;              /* that lock */
static const char *drawn;          /* letters of random names; NULL: any */
static int rename_error;           /* of the file system, such as one that cannot rename without replacing */
static char swapped[PATH_MAX];     /* the next file that is renamed is replaced by this one, just before */

int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);

    now->tv_sec += passed_s;
    return result;
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time, (void)left;
    if (++pauses == pauses_until_free)
        flock(lock, LOCK_UN);
    return 0;
}

uint32_t arc4random_uniform(uint32_t limit)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static uint64_t seed = 1;

    if (drawn && *drawn)
        return (uint32_t)(strchr(letters, *drawn++) - letters);
    return (uint32_t)unit_below(&seed, limit);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (rename_error) {
        errno = rename_error;
        return -1;
    }
    if (swapped[0] != '\0') {
        CU_ASSERT_EQUAL(rename(swapped, from), 0);
        swapped[0] = '\0';
    }
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

/* ---- pieces ---- */

static const char *path_of(const char *name)
{
    static char paths[2][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 2];

    snprintf(path, PATH_MAX, "%s/%s", folder, name);
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

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* ---- which file it is ---- */

static void test_is(void)
{
    struct file_id id, other;

    begin();
    make("f", &id);
    make("g", &other);
    CU_ASSERT(file_is(path_of("f"), &id));
    CU_ASSERT_FALSE(file_is(path_of("g"), &id));
    CU_ASSERT_FALSE(file_is(path_of("h"), &id));
    CU_ASSERT_EQUAL(symlink("f", path_of("l")), 0);
    CU_ASSERT_FALSE(file_is(path_of("l"), &id)); /* what it leads to is, but it is not */
    CU_ASSERT_FALSE(file_is(path_of("f"), &(struct file_id){.device = id.device + 1, .inode = id.inode}));
    CU_ASSERT_FALSE(file_is(path_of("f"), &(struct file_id){.device = id.device}));
    unlink(path_of("l"));
    unlink(path_of("f"));
    unlink(path_of("g"));
    end();
}

static void test_is_absent(void)
{
    struct file_id id;

    begin();
    make("f", &id);
    CU_ASSERT_FALSE(file_is_absent(path_of("f")));
    CU_ASSERT(file_is_absent(path_of("g")));
    CU_ASSERT_FALSE(file_is_absent(path_of("f/g"))); /* ENOTDIR: who knows */
    CU_ASSERT_EQUAL(symlink("nothing", path_of("l")), 0);
    CU_ASSERT_FALSE(file_is_absent(path_of("l")));
    unlink(path_of("l"));
    unlink(path_of("f"));
    end();
}

static void check_replaceable(const char *name, const char *sentence)
{
    char why[PATH_MAX + 64] = "", expected[PATH_MAX + 64];

    CU_ASSERT_EQUAL(file_is_replaceable(path_of(name), why, sizeof(why)), sentence == NULL);
    snprintf(expected, sizeof(expected), "%s: %s", path_of(name), sentence);
    CU_ASSERT_STRING_EQUAL(why, sentence ? expected : "");
}

static void test_is_replaceable(void)
{
    struct file_id id;

    begin();
    make("f", &id);
    CU_ASSERT_EQUAL(symlink("f", path_of("l")), 0);
    CU_ASSERT_EQUAL(mkfifo(path_of("p"), 0600), 0); /* which nobody reads: it would be waited for */
    CU_ASSERT_EQUAL(mkdir(path_of("d"), 0700), 0);
    check_replaceable("f", NULL);
    check_replaceable("nothing", NULL);
    check_replaceable("l", "is a link");
    check_replaceable("p", "is not a regular file");
    check_replaceable("d", "is not a regular file");
    check_replaceable("f/f", "Not a directory");
    rmdir(path_of("d"));
    unlink(path_of("p"));
    unlink(path_of("l"));
    unlink(path_of("f"));
    end();
}

static void test_is_same(void)
{
    char here[PATH_MAX];
    struct file_id id;

    begin();
    make("f", &id);
    make("g", &id);
    CU_ASSERT_EQUAL(mkdir(path_of("d"), 0700), 0);
    CU_ASSERT_EQUAL(mkdir(path_of("e"), 0700), 0);
    CU_ASSERT_EQUAL(symlink("f", path_of("l")), 0);
    CU_ASSERT_EQUAL(link(path_of("f"), path_of("h")), 0);
    CU_ASSERT(file_is_same(path_of("f"), path_of("d/../f")));
    CU_ASSERT(file_is_same(path_of("f"), path_of("l")));
    CU_ASSERT(file_is_same(path_of("f"), path_of("h")));
    CU_ASSERT_FALSE(file_is_same(path_of("f"), path_of("g")));
    CU_ASSERT_FALSE(file_is_same(path_of("f"), "/proc/self/status"));
    /* nothing there yet: folder and name tell */
    CU_ASSERT(file_is_same("/no/where", "/no/where"));
    CU_ASSERT_FALSE(file_is_same("/no/where", "/no/../no/where"));
    CU_ASSERT(file_is_same(path_of("x"), path_of("d/../x")));
    CU_ASSERT(file_is_same(path_of("d/../x"), path_of("x")));
    CU_ASSERT_FALSE(file_is_same(path_of("x"), path_of("d/../y")));
    CU_ASSERT_FALSE(file_is_same(path_of("d/x"), path_of("e/x")));
    CU_ASSERT_FALSE(file_is_same(path_of("d/f"), path_of("f")));
    CU_ASSERT_FALSE(file_is_same(path_of("f"), path_of("d/f")));
    CU_ASSERT_FALSE(file_is_same("x", path_of("x")));
    CU_ASSERT_FALSE(file_is_same("/proc/x", path_of("x"))); /* folders with the same inode, perhaps */
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(here, sizeof(here)));
    CU_ASSERT_EQUAL(chdir(folder), 0);
    CU_ASSERT(file_is_same("x", path_of("x")));
    CU_ASSERT(file_is_same(path_of("x"), "x"));
    CU_ASSERT(file_is_same("x", "d/../x"));
    CU_ASSERT_EQUAL(chdir(here), 0);
    static const char *const all[] = {"h", "l", "f", "g"};
    for (unsigned i = 0; i < 4; i++)
        unlink(path_of(all[i]));
    rmdir(path_of("d"));
    rmdir(path_of("e"));
    end();
}

/* Longer than a path can be: nothing is there, and nothing is written behind what is looked at. */
static void test_is_same_of_endless_paths(void)
{
    char a[8 * PATH_MAX], b[8 * PATH_MAX];

    for (size_t size = PATH_MAX - 3; size < PATH_MAX + 3; size++) {
        memset(a, '/', size);
        strcpy(a + size, "f");
        snprintf(b, sizeof(b), "%s", "/f");
        CU_ASSERT_EQUAL(file_is_same(a, b), size < PATH_MAX);
        CU_ASSERT_EQUAL(file_is_same(b, a), size < PATH_MAX);
    }
    memset(a, '/', sizeof(a) - 2);
    strcpy(a + sizeof(a) - 2, "f");
    CU_ASSERT_FALSE(file_is_same(a, b));
    CU_ASSERT_FALSE(file_is_same(b, a));
}

/* ---- names ---- */

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

static void check_random_name(const char *path, size_t limit, const char *expected)
{
    char name[PATH_MAX];

    drawn = "abcdef";
    memset(name, '#', sizeof(name));
    file_random_name(path, limit, name);
    drawn = NULL;
    CU_ASSERT_STRING_EQUAL(name, expected);
}

static void test_random_names(void)
{
    check_random_name("/a/b", 11, "/a/b.abcdef");
    check_random_name("/a/b", 10, "/a/abcdef"); /* behind it there is no room */
    check_random_name("/a/b", 9, "/a/abcdef");
    check_random_name("/a/b", 8, "/a/abcde");
    check_random_name("/a/b", 4, "/a/a");
    check_random_name("/a/a", 4, "/a/b"); /* the first one is its own */
    check_random_name("b", 100, "b.abcdef");
    check_random_name("b", 3, "abc");
    check_random_name("/", 1, "/"); /* a folder, which has no name to be random */
}

static void test_longest_names(void)
{
    char path[NAME_MAX + 2], expected[NAME_MAX + 16];

    snprintf(path, sizeof(path), "/%0*d", NAME_MAX - 7, 0);
    snprintf(expected, sizeof(expected), "%s.abcdef", path);
    check_random_name(path, PATH_MAX - 1, expected);
    strcat(path, "0");
    check_random_name(path, PATH_MAX - 1, "/abcdef");
}

static void test_create_beside(void)
{
    struct stat status;
    char name[PATH_MAX], path[PATH_MAX + 1];

    begin();
    unsigned open_before = open_descriptors();
    mode_t mask = umask(0);
    drawn = "aaaaaabbbbbb"; /* that name is planted */
    CU_ASSERT_EQUAL(symlink("target", path_of("f.aaaaaa")), 0);
    int fd = file_create_beside(path_of("f"), 0640, name);
    umask(mask);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_STRING_EQUAL(name, path_of("f.bbbbbb"));
    CU_ASSERT_EQUAL(lstat(name, &status), 0);
    CU_ASSERT(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0640 && status.st_size == 0);
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CU_ASSERT(file_is_absent(path_of("target")));
    CU_ASSERT(file_is_absent(path_of("f")));
    close(fd);
    unlink(name);
    /* no name is free, however often one is drawn */
    static char same[6 * 100 + 1];
    memset(same, 'a', sizeof(same) - 1);
    drawn = same;
    errno = 0;
    CU_ASSERT_EQUAL(file_create_beside(path_of("f"), 0640, name), -1);
    CU_ASSERT_EQUAL(errno, EEXIST);
    unlink(path_of("f.aaaaaa"));
    drawn = same;
    CU_ASSERT_EQUAL(file_create_beside(path_of("no/f"), 0640, name), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_PTR_EQUAL(drawn, same + 6); /* no other name makes it better */
    drawn = NULL;
    memset(path, '/', PATH_MAX); /* the longest name there can be */
    memcpy(path, folder, strlen(folder));
    strcpy(path + PATH_MAX - 6, "f");
    fd = file_create_beside(path, 0640, name);
    CU_ASSERT(fd >= 0);
    CU_ASSERT_EQUAL(strlen(name), PATH_MAX - 1);
    close(fd);
    unlink(name);
    memset(path, '/', PATH_MAX);
    path[PATH_MAX] = '\0';
    errno = 0;
    CU_ASSERT_EQUAL(file_create_beside(path, 0640, name), -1);
    CU_ASSERT_EQUAL(errno, ENAMETOOLONG);
    CU_ASSERT_EQUAL(open_descriptors(), open_before);
    end();
}

static void test_place(void)
{
    static const int errors[] = {0, EINVAL, ENOSYS};
    struct file_id id, other;

    begin();
    for (unsigned i = 0; i < 3; i++) {
        rename_error = errors[i];
        make("f", &id);
        make("g", &other);
        errno = 0;
        CU_ASSERT_EQUAL(file_place(path_of("f"), path_of("g")), -1);
        CU_ASSERT_EQUAL(errno, EEXIST);
        CU_ASSERT(file_is(path_of("f"), &id));
        CU_ASSERT(file_is(path_of("g"), &other));
        unlink(path_of("g"));
        CU_ASSERT_EQUAL(file_place(path_of("f"), path_of("g")), 0);
        CU_ASSERT(file_is_absent(path_of("f")));
        CU_ASSERT(file_is(path_of("g"), &id));
        errno = 0;
        CU_ASSERT_EQUAL(file_place(path_of("f"), path_of("h")), -1);
        CU_ASSERT_EQUAL(errno, ENOENT);
        unlink(path_of("g"));
    }
    rename_error = EPERM; /* which another way must not get around */
    make("f", &id);
    errno = 0;
    CU_ASSERT_EQUAL(file_place(path_of("f"), path_of("g")), -1);
    CU_ASSERT_EQUAL(errno, EPERM);
    CU_ASSERT(file_is(path_of("f"), &id));
    CU_ASSERT(file_is_absent(path_of("g")));
    rename_error = 0;
    unlink(path_of("f"));
    end();
}

/* ---- removing ---- */

static void test_removed_while_ours(void)
{
    struct file_id first, second;

    begin();
    unsigned open_before = open_descriptors();
    make("f", &first);
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &first), 0);
    CU_ASSERT(file_is_absent(path_of("f")));
    make("f", &second);
    first.inode = second.inode + 1;
    errno = 0;
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &first), -1);
    CU_ASSERT_EQUAL(errno, ESTALE);
    CU_ASSERT(file_is(path_of("f"), &second));
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &second), 0);
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &second), -1);
    CU_ASSERT_EQUAL(open_descriptors(), open_before);
    end();
}

/* Also where there is hardly room for a random name. */
static void test_removed_with_the_longest_name(void)
{
    struct file_id id;
    char path[PATH_MAX + 1];

    begin();
    make("f", &id);
    for (size_t size = PATH_MAX - 8; size <= PATH_MAX; size++) {
        memset(path, '/', size);
        memcpy(path, folder, strlen(folder));
        strcpy(path + size - 1, "f");
        errno = 0;
        CU_ASSERT_EQUAL(file_remove(path, &id), size < PATH_MAX ? 0 : -1);
        CU_ASSERT(size < PATH_MAX || errno == ESTALE);
        if (size < PATH_MAX)
            make("f", &id);
    }
    unlink(path_of("f"));
    end();
}

/* Somebody puts his own file there in the very moment: he gets it back. */
static void test_replaced_in_the_moment(void)
{
    struct file_id ours, theirs;

    begin();
    make("f", &ours);
    make("g", &theirs);
    strlcpy(swapped, path_of("g"), sizeof(swapped));
    errno = 0;
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &ours), -1);
    CU_ASSERT_EQUAL(errno, ESTALE);
    CU_ASSERT(file_is(path_of("f"), &theirs));
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &theirs), 0);
    end();
}

static void test_relative_paths(void)
{
    struct file_id id;
    char here[PATH_MAX];

    begin();
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(here, sizeof(here)));
    CU_ASSERT_EQUAL(chdir(folder), 0);
    make("f", &id);
    lock = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CU_ASSERT_EQUAL(flock(lock, LOCK_EX), 0);
    pauses = 0;
    passed_s += 2;
    CU_ASSERT_EQUAL(file_remove("f", &id), 0);
    CU_ASSERT(pauses > 0); /* the folder that is locked is this one */
    close(lock);
    CU_ASSERT_EQUAL(chdir(here), 0);
    end();
}

static unsigned pauses_of_a_removal(unsigned until_free)
{
    struct file_id id;

    make("f", &id);
    pauses = 0;
    pauses_until_free = until_free;
    CU_ASSERT_EQUAL(file_remove(path_of("f"), &id), 0);
    return pauses;
}

/*
 * Somebody holds a lock on the folder: for a moment, which is waited for, or for ever, which is waited for once, not for
 * every file.
 */
static void test_locked_folder(void)
{
    begin();
    passed_s += 2; /* whatever has been locked before */
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 0);
    lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CU_ASSERT_EQUAL_FATAL(flock(lock, LOCK_EX), 0);
    CU_ASSERT_EQUAL(pauses_of_a_removal(3), 3);
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 0);
    CU_ASSERT_EQUAL_FATAL(flock(lock, LOCK_EX), 0);
    CU_ASSERT_EQUAL(pauses_of_a_removal(19), 19); /* just in time */
    CU_ASSERT_EQUAL_FATAL(flock(lock, LOCK_EX), 0);
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 19);
    for (unsigned i = 0; i < 60; i++)
        CU_ASSERT_EQUAL(pauses_of_a_removal(0), 0);
    passed_s += 2; /* and some time later once more */
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 19);
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 0);
    passed_s += 2;
    int saved = dup(STDIN_FILENO); /* whose place the folder may take */
    close(STDIN_FILENO);
    CU_ASSERT_EQUAL(pauses_of_a_removal(0), 19);
    CU_ASSERT_EQUAL(fcntl(STDIN_FILENO, F_GETFD), -1);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(lock);
    end();
}

/* ---- the folder of a file ---- */

static int make_folder_of(const char *path)
{
    errno = 0;
    return file_make_folder_of(path, 0750) == 0 ? 0 : errno;
}

static void test_make_folder(void)
{
    struct stat status;
    mode_t before = umask(022);

    begin();
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), 0);
    CU_ASSERT_EQUAL_FATAL(lstat(path_of("run"), &status), 0);
    CU_ASSERT(S_ISDIR(status.st_mode) && (status.st_mode & 07777) == 0750);
    CU_ASSERT_FALSE(file_is_absent(path_of("run")));
    CU_ASSERT(file_is_absent(path_of("run/s")));
    CU_ASSERT_EQUAL(chmod(path_of("run"), 0700), 0);
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), 0); /* there already: as it is */
    CU_ASSERT(stat(path_of("run"), &status) == 0 && (status.st_mode & 07777) == 0700);
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/")), 0);
    CU_ASSERT_EQUAL(make_folder_of(path_of("none/run/s")), ENOENT); /* no more than one */
    rmdir(path_of("run"));
    end();
    umask(before);
}

/* Nobody else may have made it, or replace what is in it. */
static void test_folders_of_others(void)
{
    begin();
    CU_ASSERT_EQUAL(mkdir(path_of("run"), 0700), 0);
    CU_ASSERT_EQUAL(chmod(path_of("run"), 0777), 0);
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), EPERM);
    CU_ASSERT_EQUAL(chmod(path_of("run"), 0702), 0);
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), EPERM);
    CU_ASSERT_EQUAL(chmod(path_of("run"), 01777), 0); /* as /tmp: they cannot replace what is not theirs */
    CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), 0);
    if (geteuid() == 0) {
        CU_ASSERT_EQUAL(chmod(path_of("run"), 0755), 0);
        CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
        CU_ASSERT_EQUAL(seteuid(65534), 0);
        CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), 0); /* root has made it */
        CU_ASSERT_EQUAL(seteuid(0), 0);
        CU_ASSERT_EQUAL(chown(path_of("run"), 65534, 65534), 0);
        CU_ASSERT_EQUAL(make_folder_of(path_of("run/s")), EPERM);
    }
    CU_ASSERT_EQUAL(symlink("run", path_of("link")), 0);
    CU_ASSERT_EQUAL(make_folder_of(path_of("link/s")), ENOTDIR);
    unlink(path_of("link"));
    CU_ASSERT_EQUAL(symlink("none", path_of("link")), 0); /* to where nothing is, yet */
    CU_ASSERT_EQUAL(make_folder_of(path_of("link/s")), ENOTDIR);
    CU_ASSERT(file_is_absent(path_of("none")));
    unlink(path_of("link"));
    rmdir(path_of("run"));
    struct file_id id;
    make("file", &id);
    CU_ASSERT_EQUAL(make_folder_of(path_of("file/s")), ENOTDIR);
    unlink(path_of("file"));
    end();
}

static void test_folders_that_are_there(void)
{
    char path[PATH_MAX + 32];

    CU_ASSERT_EQUAL(make_folder_of("s"), 0);
    CU_ASSERT_EQUAL(make_folder_of("/s"), 0);
    CU_ASSERT_EQUAL(make_folder_of(""), 0);
    CU_ASSERT_EQUAL(make_folder_of("//s"), 0);
    CU_ASSERT_EQUAL(make_folder_of("./s"), 0);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    memcpy(path + PATH_MAX, "/s", sizeof("/s"));
    CU_ASSERT_EQUAL(make_folder_of(path), ENAMETOOLONG);
    for (unsigned i = 0; i < 200; i++) /* of names that are short enough */
        path[20 * i] = '/';
    CU_ASSERT_EQUAL(make_folder_of(path), ENAMETOOLONG);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"is", test_is},
        {"is absent", test_is_absent},
        {"is replaceable", test_is_replaceable},
        {"is the same", test_is_same},
        {"is the same, endless paths", test_is_same_of_endless_paths},
        {"a random name is another one", test_random_name_is_another},
        {"random names", test_random_names},
        {"longest names", test_longest_names},
        {"create beside", test_create_beside},
        {"place", test_place},
        {"removed while ours", test_removed_while_ours},
        {"removed with the longest name", test_removed_with_the_longest_name},
        {"replaced in the moment", test_replaced_in_the_moment},
        {"relative paths", test_relative_paths},
        {"locked folder", test_locked_folder},
        {"make folder", test_make_folder},
        {"folders of others", test_folders_of_others},
        {"folders that are there", test_folders_that_are_there},
        {0},
    };
    return unit_main("file", tests);
}
