#include "common/log_sink.h"
#include "common/log_syslog.h"
#include "common/memory_file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

enum {
    PATH_SIZE = 256,
    LOCK_MS = 20,
    LINES_SIZE = 2 * LOG_LINE_SIZE,
};

_Static_assert(LINES_SIZE <= PIPE_BUF, "lines are written to a pipe whole or not at all");

/* How to write without waiting. */
enum manner {
    UNKNOWN,   /* nothing has been written or opened yet */
    PLAINLY,   /* write() does not wait: regular files, and descriptions of our own with O_NONBLOCK */
    BY_SEND,   /* sockets */
    CAREFULLY, /* others share the description, and O_NONBLOCK would be theirs, too */
    BY_SYSLOG,
};

struct sink {
    int fd;
    enum manner manner;
    mode_t type; /* S_IFREG and the like */
    bool terminal, journal;
    dev_t device;
    ino_t inode;
};

static struct sink current = {.fd = STDERR_FILENO};
static char current_path[PATH_SIZE]; /* "" unless the log is a path */

/*
 * When a terminal has taken half a line, the rest stays here, and whoever writes next writes it first. So it is shared
 * by all processes of the server, but only where the log is a terminal or a socket: nothing else takes half a line.
 *
 * A worker that has been taken over can write anything here at any time. So nothing in it is believed: the size is read
 * once and checked, the bytes go nowhere but to the log, and the lock is waited for once and then ignored.
 */
struct rest {
    _Atomic uint32_t locked;
    dev_t device;
    ino_t inode;
    _Atomic size_t size;
    char bytes[LINES_SIZE];
};

static struct rest private_rest; /* of a process that shares none */
static struct rest *rest = &private_rest;

/* ---- opening ---- */

static int open_at_once(const char *path, int flags)
{
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
}

/*
 * A FIFO without a reader refuses a writer that does not wait. It takes one while we are the reader ourselves; lines
 * are dropped afterwards until somebody else comes.
 */
static int open_fifo_unread(const char *path)
{
    int reader = open_at_once(path, O_RDONLY);
    int fd = reader < 0 ? -1 : open_at_once(path, O_WRONLY | O_APPEND);
    int error = errno;

    if (reader >= 0)
        close(reader);
    errno = error;
    return fd;
}

/* A socket has no second description: only if we have it already can it be used. */
static int copy_standard_socket(const struct stat *wanted)
{
    struct stat status;

    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &status) == 0 && status.st_dev == wanted->st_dev && status.st_ino == wanted->st_ino)
            return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    errno = EOPNOTSUPP;
    return -1;
}

static int open_path(const char *path, int flags)
{
    struct stat status;
    int fd = open_at_once(path, O_WRONLY | O_APPEND | flags);

    if (fd >= 0 || errno != ENXIO || stat(path, &status) < 0)
        return fd;
    if (S_ISFIFO(status.st_mode))
        return open_fifo_unread(path);
    if (S_ISSOCK(status.st_mode))
        return copy_standard_socket(&status);
    errno = ENXIO;
    return -1;
}

/* What the descriptor refers to, with a description of our own; -1 where that cannot be had. */
static int open_own(int fd, const struct stat *status)
{
    char path[32];
    int master;

    if (!S_ISFIFO(status->st_mode) &&
        (!isatty(fd) || ioctl(fd, TIOCGPTN, &master) == 0)) /* that opens a new terminal */
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open_path(path, 0);
}

/* Whether journald reads this: then it has told our first process so. */
static bool is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;

    return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && device == status->st_dev &&
           inode == status->st_ino;
}

static struct sink describe(int fd, bool own)
{
    struct sink sink = {.fd = fd, .manner = own ? PLAINLY : CAREFULLY};
    struct stat status;

    if (fstat(fd, &status) < 0)
        return sink;
    sink.type = status.st_mode & S_IFMT;
    sink.terminal = isatty(fd);
    sink.journal = is_journal(&status);
    sink.device = status.st_dev;
    sink.inode = status.st_ino;
    if (S_ISSOCK(status.st_mode))
        sink.manner = BY_SEND;
    else if (S_ISREG(status.st_mode) || (S_ISCHR(status.st_mode) && !sink.terminal)) /* such as /dev/null */
        sink.manner = PLAINLY;
    return sink;
}

static struct sink open_stderr(void)
{
    struct stat status;
    int fd = fstat(STDERR_FILENO, &status) == 0 ? open_own(STDERR_FILENO, &status) : -1;

    return describe(fd < 0 ? STDERR_FILENO : fd, fd >= 0);
}

static void close_sink(const struct sink *sink)
{
    if (sink->fd > STDERR_FILENO)
        close(sink->fd);
}

/* Sealed, so that nobody can cut it short under the others. Without memory for it each process has its own. */
static struct rest *map_rest(void)
{
    int fd = memory_file_create("ccserver-log", sizeof(struct rest));
    void *memory = MAP_FAILED;

    if (fd < 0)
        return &private_rest;
    if (fallocate(fd, 0, 0, (off_t)sizeof(struct rest)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        memory = mmap(NULL, sizeof(struct rest), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? &private_rest : memory;
}

/* Does it take half a line? What a regular file takes of one is taken back, and pipes and syslog take none. */
static bool takes_halves(const struct sink *sink)
{
    return sink->terminal || sink->type == S_IFSOCK;
}

static void share_rest(bool wanted)
{
    bool shared = rest != &private_rest;

    if (shared && !wanted) {
        munmap(rest, sizeof(*rest));
        rest = &private_rest;
    } else if (!shared && wanted) {
        rest = map_rest();
    }
}

static void use(struct sink sink, const char *path)
{
    close_sink(&current);
    if (sink.manner != BY_SYSLOG)
        log_syslog_close();
    share_rest(takes_halves(&sink));
    current = sink;
    strlcpy(current_path, path, sizeof(current_path));
}

int log_sink_open(const char *target)
{
    if (strcmp(target, "stderr") == 0) {
        use(open_stderr(), "");
    } else if (strcmp(target, "syslog") == 0) {
        log_syslog_open();
        use((struct sink){.fd = -1, .manner = BY_SYSLOG}, "");
    } else {
        int fd = open_path(target, O_CREAT);
        if (fd < 0)
            return -1;
        use(describe(fd, true), target);
    }
    return 0;
}

int log_sink_reopen(void)
{
    char path[PATH_SIZE];

    strlcpy(path, current_path, sizeof(path));
    return path[0] == '\0' ? 0 : log_sink_open(path);
}

/* ---- writing ---- */

enum log_style log_sink_style(void)
{
    if (current.manner == UNKNOWN)
        current = describe(STDERR_FILENO, false);
    if (current.manner == BY_SYSLOG)
        return LOG_STYLE_SYSLOG;
    return current.journal ? LOG_STYLE_JOURNAL : LOG_STYLE_PLAIN;
}

/* A terminal says that there is room, but not for how much: it gets one byte at a time. */
static ssize_t write_polled(const struct sink *sink, const char *bytes, size_t size)
{
    size_t piece = sink->terminal ? 1 : size, done = 0;
    ssize_t n = -1;

    errno = EAGAIN;
    for (; done < size; done += (size_t)n) {
        struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
        if (poll(&room, 1, 0) != 1 || (n = write(sink->fd, bytes + done, piece)) <= 0)
            break;
    }
    return done > 0 ? (ssize_t)done : -1;
}

static ssize_t write_carefully(const struct sink *sink, const char *bytes, size_t size)
{
    const struct iovec piece = {(void *)bytes, size};
    ssize_t n = pwritev2(sink->fd, &piece, 1, -1, RWF_NOWAIT);

    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return n;
    return write_polled(sink, bytes, size);
}

static ssize_t write_some(const struct sink *sink, const char *bytes, size_t size)
{
    ssize_t n = -1;

    do
        switch (sink->manner) {
        case UNKNOWN:
        case PLAINLY: n = write(sink->fd, bytes, size); break;
        case BY_SEND: n = send(sink->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL); break;
        case CAREFULLY: n = write_carefully(sink, bytes, size); break;
        case BY_SYSLOG: return log_syslog_send(bytes, size - 1) ? (ssize_t)size : -1; /* it wants no newline */
        }
    while (n < 0 && errno == EINTR);
    return n;
}

static off_t size_of_file(const struct sink *sink)
{
    struct stat status;

    return sink->type == S_IFREG && fstat(sink->fd, &status) == 0 ? status.st_size : -1;
}

/* Only while the fragment is all that has come to the file since it had `before` bytes: others write to it as well. */
static bool take_back(const struct sink *sink, off_t before, size_t size)
{
    off_t end = before + (off_t)size;

    return before >= 0 && size_of_file(sink) == end && lseek(sink->fd, 0, SEEK_CUR) == end &&
           ftruncate(sink->fd, before) == 0 && lseek(sink->fd, before, SEEK_SET) == before;
}

static void keep_rest(const struct sink *sink, const char *bytes, size_t size)
{
    rest->device = sink->device;
    rest->inode = sink->inode;
    memcpy(rest->bytes, bytes, size);
    atomic_store(&rest->size, size);
}

/* False when there is still some. */
static bool write_rest(const struct sink *sink)
{
    size_t size = atomic_load(&rest->size);

    if (size == 0 || size > LINES_SIZE || rest->device != sink->device || rest->inode != sink->inode)
        return true;
    ssize_t n = write_some(sink, rest->bytes, size);
    if (n > 0) {
        size -= (size_t)n;
        memmove(rest->bytes, rest->bytes + n, size);
        atomic_store(&rest->size, size);
    }
    return size == 0;
}

static bool write_whole(const struct sink *sink, const char *lines, size_t size)
{
    off_t before = size_of_file(sink);
    ssize_t n = write_rest(sink) ? write_some(sink, lines, size) : -1;

    if (n <= 0 || (size_t)n == size)
        return n > 0;
    if (take_back(sink, before, (size_t)n))
        return false;
    keep_rest(sink, lines + n, size - (size_t)n);
    return true;
}

static bool try_lock(void)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong(&rest->locked, &free, 1);
}

/*
 * It is held for no longer than a write that does not wait. Who still has it after LOCK_MS has died in it, was stopped,
 * or lies: then the line is written all the same, for half a line is better than none. That is waited for once, not for
 * each line.
 */
static void lock(void)
{
    static bool in_vain;
    const struct timespec pause = {.tv_nsec = 1000000};
    bool locked = try_lock();

    for (unsigned ms = 0; !locked && !in_vain && ms < LOCK_MS; ms++) {
        nanosleep(&pause, NULL);
        locked = try_lock();
    }
    in_vain = !locked;
}

bool log_sink_write(const char *lines, size_t size)
{
    if (current.type == S_IFIFO || current.manner == BY_SYSLOG) /* nothing goes in part */
        return write_some(&current, lines, size) == (ssize_t)size;
    bool shared = takes_halves(&current);
    if (shared)
        lock();
    bool written = write_whole(&current, lines, size);
    if (shared)
        atomic_store(&rest->locked, 0);
    return written;
}

bool log_sink_write_in_handler(const char *line, size_t size)
{
    return write_some(&current, line, size) == (ssize_t)size;
}

enum log_style log_sink_stderr_style(void)
{
    struct stat status;

    return fstat(STDERR_FILENO, &status) == 0 && is_journal(&status) ? LOG_STYLE_JOURNAL : LOG_STYLE_PLAIN;
}

void log_sink_write_stderr(const char *line, size_t size)
{
    struct sink sink = open_stderr();

    write_some(&sink, line, size);
    close_sink(&sink);
}
