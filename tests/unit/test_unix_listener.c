/*
 * Unix sockets that appear complete, with owner and mode, take no living server's place, and leave nothing behind.
 */
#include "common/unix_listener.h"
#include "tests/unit/unit.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <bsd/string.h>

enum { NOBODY = 65534, BACKLOG = 5 };

static char folder[64], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static unsigned descriptors; /* open when the test began */

/* ---- a file that is there for a moment ---- */

static unsigned moments; /* times that a rename meets a file which is gone when it is looked at */

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (moments == 0)
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    moments--;
    errno = EEXIST;
    return -1;
}

/* ---- pieces ---- */

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static unsigned files(void)
{
    DIR *all = opendir(folder);
    unsigned count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    while (readdir(all))
        count++;
    closedir(all);
    return count - 2;
}

static void begin(void)
{
    strcpy(folder, "/tmp/ccs-unix-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    descriptors = open_descriptors();
}

static void end(void)
{
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* nothing else is in it */
    CU_ASSERT_EQUAL(open_descriptors(), descriptors);
}

static int listen_as(struct unix_access access)
{
    struct file_id id;

    return unix_listen(path, BACKLOG, &access, &id);
}

static int listen_here(void)
{
    return listen_as(UNIX_ACCESS_DEFAULT);
}

static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strlcpy(address.sun_path, name, sizeof(address.sun_path));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool answers(const char *name)
{
    int fd = connect_to(name);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Whatever has the path, a server does not start there, and it stays. */
static void check_refused(int error)
{
    struct stat before, after;
    unsigned count = files(), open = open_descriptors();

    CU_ASSERT_EQUAL(lstat(path, &before), 0);
    errno = 0;
    CU_ASSERT_EQUAL(listen_here(), -1);
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_EQUAL(lstat(path, &after), 0);
    CU_ASSERT_EQUAL(before.st_ino, after.st_ino);
    CU_ASSERT_EQUAL(files(), count);
    CU_ASSERT_EQUAL(open_descriptors(), open);
}

static struct stat status_of(const char *name)
{
    struct stat status = {0};

    CU_ASSERT_EQUAL(lstat(name, &status), 0);
    return status;
}

static mode_t mode_of(const char *name)
{
    return status_of(name).st_mode & 07777;
}

/* Run it as a user without privileges, who owns the folder, and see whether all is well. */
static void as_nobody(bool (*run)(void))
{
    int status;

    if (geteuid() == 0)
        CU_ASSERT_EQUAL(chown(folder, NOBODY, NOBODY), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
            _exit(2);
        _exit(run() ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
}

/* ---- listening ---- */

static void test_listens(void)
{
    struct file_id id = {0};
    const struct unix_access access = UNIX_ACCESS_DEFAULT;
    int on = 0;
    socklen_t size = sizeof(on);

    begin();
    int fd = unix_listen(path, BACKLOG, &access, &id);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size), 0);
    CU_ASSERT(on);
    CU_ASSERT(S_ISSOCK(status_of(path).st_mode));
    CU_ASSERT(file_is(path, &id));
    CU_ASSERT_EQUAL(files(), 1);
    CU_ASSERT(answers(path));
    close(fd);
    end();
}

/* A backlog of n takes n + 1 before somebody accepts. */
static void test_backlog(void)
{
    int peers[BACKLOG + 1];

    begin();
    int fd = listen_here();
    for (unsigned i = 0; i <= BACKLOG; i++)
        CU_ASSERT((peers[i] = connect_to(path)) >= 0);
    CU_ASSERT_FALSE(answers(path));
    for (unsigned i = 0; i <= BACKLOG; i++)
        close(peers[i]);
    close(fd);
    end();
}

static void test_mode(void)
{
    struct unix_access access = UNIX_ACCESS_DEFAULT;

    begin();
    mode_t mask = umask(027);
    close(listen_as(access));
    CU_ASSERT_EQUAL(mode_of(path), 0750);
    access.mode = 0666; /* whatever the umask */
    close(listen_as(access));
    CU_ASSERT_EQUAL(mode_of(path), 0666);
    access.mode = 0600;
    close(listen_as(access));
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    CU_ASSERT_EQUAL(umask(mask), 027);
    end();
}

static void test_owner(void)
{
    static const uid_t users[] = {-1, 1, 1};
    static const gid_t groups[] = {1, -1, 2};

    if (geteuid() != 0)
        return; /* only root gives files away */
    begin();
    for (unsigned i = 0; i < 3; i++) {
        int fd = listen_as((struct unix_access){.mode = 0640, .user = users[i], .group = groups[i]});
        struct stat status = status_of(path);
        CU_ASSERT(fd >= 0);
        CU_ASSERT_EQUAL(status.st_uid, users[i] == (uid_t)-1 ? geteuid() : users[i]);
        CU_ASSERT_EQUAL(status.st_gid, groups[i] == (gid_t)-1 ? getegid() : groups[i]);
        CU_ASSERT_EQUAL(status.st_mode & 07777, 0640);
        close(fd);
    }
    end();
}

static bool is_not_given_away(void)
{
    int fd = listen_as((struct unix_access){.mode = 0666, .user = 0, .group = (gid_t)-1});

    return fd == -1 && errno == EPERM && files() == 0 && open_descriptors() == descriptors;
}

static void test_owner_is_refused(void)
{
    begin();
    as_nobody(is_not_given_away);
    end();
}

/* A trial says what the real thing would, and leaves nothing. */
static bool is_tried(void)
{
    const struct unix_access given = {.mode = 0666, .user = 0, .group = (gid_t)-1};
    const struct unix_access own = {.mode = 0666, .user = geteuid(), .group = getegid()};
    bool denied = unix_try_access(path, &given) == -1 && errno == EPERM;

    return denied && unix_try_access(path, &own) == 0 && files() == 0 && open_descriptors() == descriptors;
}

static void test_access_is_tried(void)
{
    begin();
    as_nobody(is_tried);
    end();
}

/* The folder is watched by somebody who is quicker than we: a file that is not ours gets no permissions. */
static void test_file_of_another_user(void)
{
    if (geteuid() != 0)
        return; /* whose files are always his own */
    begin();
    CU_ASSERT_EQUAL(chmod(folder, 0777), 0);
    setfsuid(NOBODY);
    int fd = listen_as((struct unix_access){.mode = 0666, .user = (uid_t)-1, .group = (gid_t)-1});
    int error = errno;
    setfsuid(0);
    CU_ASSERT_EQUAL(fd, -1);
    CU_ASSERT_EQUAL(error, ESTALE);
    CU_ASSERT_EQUAL(files(), 0);
    end();
}

static void test_no_folder(void)
{
    begin();
    strlcat(path, "/socket", sizeof(path));
    errno = 0;
    CU_ASSERT_EQUAL(listen_here(), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    end();
}

/* ---- who has the path already ---- */

static void test_living_server(void)
{
    begin();
    int fd = listen_here();
    check_refused(EADDRINUSE);
    CU_ASSERT(answers(path));
    int peer, peers[BACKLOG + 1] = {0};
    unsigned count = 0;
    while (count <= BACKLOG && (peer = connect_to(path)) >= 0) /* also one that has no time to accept */
        peers[count++] = peer;
    check_refused(EADDRINUSE);
    while (count > 0)
        close(peers[--count]);
    close(fd);
    end();
}

static void test_dead_server(void)
{
    begin();
    for (unsigned i = 0; i < 3; i++) {
        int fd = listen_here();
        CU_ASSERT(fd >= 0);
        CU_ASSERT(answers(path));
        CU_ASSERT_EQUAL(files(), 1);
        close(fd); /* without an unlink(), as a killed one does */
        CU_ASSERT_FALSE(answers(path));
    }
    end();
}

static void test_foreign_files(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char other[sizeof(path)];

    begin();
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    check_refused(EADDRINUSE);
    unlink(path);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    check_refused(EADDRINUSE);
    unlink(path);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    check_refused(EADDRINUSE);
    rmdir(path);
    CU_ASSERT_EQUAL(symlink("nothing", path), 0);
    check_refused(EADDRINUSE);
    unlink(path);
    close(listen_here()); /* a dead server behind a link, which is not ours to remove */
    snprintf(other, sizeof(other), "%s/other", folder);
    CU_ASSERT_EQUAL(rename(path, other), 0);
    CU_ASSERT_EQUAL(symlink("other", path), 0);
    check_refused(EADDRINUSE);
    unlink(path);
    unlink(other);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* somebody reads there, but not as we do */
    strlcpy(address.sun_path, path, sizeof(address.sun_path));
    CU_ASSERT_EQUAL(bind(datagrams, (const struct sockaddr *)&address, sizeof(address)), 0);
    check_refused(EADDRINUSE);
    close(datagrams);
    end();
}

/* Servers that start at the same moment, free path or dead server: one of them is there afterwards. */
static void test_several_at_once(void)
{
    enum { SERVERS = 6 };
    int start[2], results[2], stop[2];

    begin();
    for (unsigned round = 0; round < 4; round++) {
        if (round % 2)
            close(listen_here());
        CU_ASSERT_FATAL(pipe(start) == 0 && pipe(results) == 0 && pipe(stop) == 0);
        for (unsigned i = 0; i < SERVERS; i++)
            if (fork() == 0) {
                char byte;
                close(start[1]);
                close(stop[1]);
                _exit(read(start[0], &byte, 1) == 0 &&
                              (byte = listen_here() >= 0    ? '+'
                                      : errno == EADDRINUSE ? '-'
                                                            : '?') &&
                              write(results[1], &byte, 1) == 1 && read(stop[0], &byte, 1) == 0
                          ? 0
                          : 1);
            }
        close(start[1]);
        char said[SERVERS + 1] = "";
        unsigned listening = 0, refused = 0;
        for (unsigned i = 0; i < SERVERS; i++)
            CU_ASSERT_EQUAL(read(results[0], said + i, 1), 1);
        for (unsigned i = 0; i < SERVERS; i++) {
            listening += said[i] == '+';
            refused += said[i] == '-';
        }
        CU_ASSERT_EQUAL(listening, 1);
        CU_ASSERT_EQUAL(refused, SERVERS - 1);
        CU_ASSERT(answers(path));
        CU_ASSERT_EQUAL(files(), 1);
        close(stop[1]);
        for (unsigned i = 0; i < SERVERS; i++)
            wait(NULL);
        close(start[0]);
        close(results[0]);
        close(results[1]);
        close(stop[0]);
        unlink(path);
    }
    end();
}

/* Another server goes in this moment, and leaves its place to us; but it is not waited for without an end. */
static void test_for_a_moment(void)
{
    begin();
    moments = 1;
    int fd = listen_here();
    CU_ASSERT(fd >= 0);
    CU_ASSERT(answers(path));
    close(fd);
    unlink(path);
    moments = 1000;
    errno = 0;
    CU_ASSERT_EQUAL(listen_here(), -1);
    CU_ASSERT_EQUAL(errno, EADDRINUSE);
    moments = 0;
    CU_ASSERT_EQUAL(files(), 0);
    end();
}

/* ---- names ---- */

/* The longest path there is; behind it nothing fits, so the random name is as long. */
static void set_longest_path(size_t name_size)
{
    size_t used = strlen(folder);

    snprintf(path, sizeof(path), "%s/", folder);
    memset(path + used + 1, 'd', sizeof(path) - 1 - used - 1);
    path[sizeof(path) - 1] = '\0';
    path[sizeof(path) - 2 - name_size] = '\0';
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    path[sizeof(path) - 2 - name_size] = '/';
}

static void remove_longest_path(void)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void test_longest_path(void)
{
    begin();
    set_longest_path(8);
    CU_ASSERT_EQUAL(strlen(path), sizeof(path) - 1);
    int fd = listen_here();
    CU_ASSERT(fd >= 0);
    CU_ASSERT(answers(path));
    check_refused(EADDRINUSE);
    close(fd);
    fd = listen_here();
    CU_ASSERT(fd >= 0);
    close(fd);
    remove_longest_path();
    end();
}

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static void make_or_remove_letters(unsigned from, unsigned to, bool make)
{
    char name[sizeof(path)];

    for (unsigned i = from; i < to; i++) {
        strlcpy(name, path, sizeof(name));
        name[strlen(name) - 1] = letters[i];
        if (strcmp(name, path) == 0)
            continue;
        if (make)
            close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        else
            CU_ASSERT_EQUAL(unlink(name), 0);
    }
}

/* Random names of one letter, which may all be taken, and belong to others. */
static void test_random_names_are_taken(void)
{
    begin();
    set_longest_path(1); /* 'd' */
    make_or_remove_letters(0, 62, true);
    errno = 0;
    CU_ASSERT_EQUAL(listen_here(), -1);
    CU_ASSERT_EQUAL(errno, EADDRINUSE);
    make_or_remove_letters(20, 62, false);
    for (unsigned i = 0; i < 10; i++) { /* a third of them: another one is drawn */
        int fd = listen_here();
        CU_ASSERT(fd >= 0);
        close(fd);
    }
    make_or_remove_letters(0, 20, false);
    remove_longest_path();
    end();
}

/* ---- shortages ---- */

/* Without descriptors a server does not start; nothing is removed that it could not look at, and nothing is left. */
static void test_no_descriptors(void)
{
    struct rlimit limit;
    struct stat before;
    unsigned spare = 0;
    int fd = -1;

    begin();
    close(listen_here()); /* a dead server */
    before = status_of(path);
    int next = dup(STDIN_FILENO);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    for (; spare < 10 && fd < 0; spare++) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next + spare, limit.rlim_max});
        errno = 0;
        fd = listen_here();
        int error = errno;
        setrlimit(RLIMIT_NOFILE, &limit);
        CU_ASSERT_EQUAL(files(), 1);
        if (fd >= 0)
            break;
        CU_ASSERT(error == EMFILE || error == EADDRINUSE); /* nobody knows whether it lives */
        CU_ASSERT_EQUAL(status_of(path).st_ino, before.st_ino);
        CU_ASSERT_EQUAL(open_descriptors(), descriptors);
    }
    CU_ASSERT_EQUAL(spare, 3); /* the socket, the file that is in the way, the question to it */
    close(fd);
    end();
}

/* ---- who may connect, later ---- */

static void check_access(struct unix_access access, const struct file_id *id, int error)
{
    unsigned open = open_descriptors();

    errno = 0;
    CU_ASSERT_EQUAL(unix_set_access(path, id, &access), error ? -1 : 0);
    CU_ASSERT(error == 0 || errno == error);
    CU_ASSERT_EQUAL(open_descriptors(), open);
}

static void test_set_access(void)
{
    const struct unix_access usual = UNIX_ACCESS_DEFAULT;
    struct unix_access access = usual;
    struct file_id id;

    begin();
    int fd = unix_listen(path, BACKLOG, &access, &id);
    mode_t mask = umask(022);
    access.mode = 0600;
    check_access(access, &id, 0);
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    check_access(usual, &id, 0); /* as if it had just been made */
    CU_ASSERT_EQUAL(mode_of(path), 0755);
    CU_ASSERT_EQUAL(umask(mask), 022);
    if (geteuid() == 0) {
        check_access((struct unix_access){.mode = 0660, .user = 1, .group = 2}, &id, 0);
        CU_ASSERT(status_of(path).st_uid == 1 && status_of(path).st_gid == 2 && mode_of(path) == 0660);
        check_access((struct unix_access){.mode = 0660, .user = (uid_t)-1, .group = 3}, &id, 0);
        CU_ASSERT(status_of(path).st_uid == geteuid() && status_of(path).st_gid == 3);
        check_access((struct unix_access){.mode = 0660, .user = 1, .group = (gid_t)-1}, &id, 0);
        CU_ASSERT(status_of(path).st_uid == 1 && status_of(path).st_gid == getegid());
    }
    CU_ASSERT(answers(path));
    close(fd);
    end();
}

/* Another file, or a link, has the name now: it keeps what it has. */
static void test_set_access_of_another_file(void)
{
    const struct unix_access open_to_all = {.mode = 0666, .user = (uid_t)-1, .group = (gid_t)-1};
    struct unix_access access = UNIX_ACCESS_DEFAULT;
    struct file_id id, other;
    char aside[sizeof(path)];

    begin();
    access.mode = 0600;
    int fd = unix_listen(path, BACKLOG, &access, &id);
    other = id;
    other.inode++;
    check_access(open_to_all, &other, ESTALE);
    other = id;
    other.device++;
    check_access(open_to_all, &other, ESTALE);
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    snprintf(aside, sizeof(aside), "%s/aside", folder);
    CU_ASSERT_EQUAL(rename(path, aside), 0);
    check_access(open_to_all, &id, ENOENT);
    CU_ASSERT_EQUAL(symlink("aside", path), 0);
    check_access(open_to_all, &id, ESTALE);
    CU_ASSERT_EQUAL(mode_of(aside), 0600);
    unlink(aside);
    close(fd);
    end();
}

static bool is_not_given_away_later(void)
{
    struct unix_access access = UNIX_ACCESS_DEFAULT;
    struct file_id id;
    int fd = unix_listen(path, BACKLOG, &access, &id);

    access.user = 0;
    return fd >= 0 && unix_set_access(path, &id, &access) == -1 && errno == EPERM &&
           open_descriptors() == descriptors + 1;
}

/* A server without a standard input has another descriptor in its place. */
static void test_set_access_without_stdin(void)
{
    struct unix_access access = UNIX_ACCESS_DEFAULT;
    struct file_id id;

    begin();
    int fd = unix_listen(path, BACKLOG, &access, &id), saved = dup(STDIN_FILENO);
    close(STDIN_FILENO);
    access.mode = 0666;
    CU_ASSERT_EQUAL(unix_set_access(path, &id, &access), 0);
    CU_ASSERT_EQUAL(mode_of(path), 0666);
    CU_ASSERT_EQUAL(fcntl(STDIN_FILENO, F_GETFD), -1);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(fd);
    end();
}

static void test_set_access_is_refused(void)
{
    begin();
    as_nobody(is_not_given_away_later);
    end();
}

static void test_equal(void)
{
    const struct unix_access a = {.mode = 0600, .user = 1, .group = 2};
    struct unix_access b = a;

    CU_ASSERT(unix_access_equal(&a, &b));
    b.mode = 0660;
    CU_ASSERT_FALSE(unix_access_equal(&a, &b));
    b = a;
    b.user = 2;
    CU_ASSERT_FALSE(unix_access_equal(&a, &b));
    b = a;
    b.group = 1;
    CU_ASSERT_FALSE(unix_access_equal(&a, &b));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"listens", test_listens},
        {"backlog", test_backlog},
        {"mode", test_mode},
        {"owner", test_owner},
        {"owner is refused", test_owner_is_refused},
        {"access is tried", test_access_is_tried},
        {"file of another user", test_file_of_another_user},
        {"no folder", test_no_folder},
        {"living server", test_living_server},
        {"dead server", test_dead_server},
        {"foreign files", test_foreign_files},
        {"several at once", test_several_at_once},
        {"for a moment", test_for_a_moment},
        {"longest path", test_longest_path},
        {"random names are taken", test_random_names_are_taken},
        {"no descriptors", test_no_descriptors},
        {"set access", test_set_access},
        {"set access of another file", test_set_access_of_another_file},
        {"set access without standard input", test_set_access_without_stdin},
        {"set access is refused", test_set_access_is_refused},
        {"equal", test_equal},
        {0},
    };
    return unit_main("unix listener", tests);
}
