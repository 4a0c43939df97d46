#include "common/log_sink.h"
#include "common/log_syslog.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bsd/string.h>

enum {
    PATH_SIZE = 256,
    LOCK_MS = 20, /* for a process that was stopped in the middle of a write */
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
 * Shared by all processes of the server. When a terminal has taken half a line, the rest stays here, and whoever writes
 * next writes it first. The lock is held for no longer than a write that does not wait; who dies with it is noticed.
 */
struct rest {
    pthread_mutex_t mutex;
    dev_t device;
    ino_t inode;
    size_t size;
    char bytes[LINES_SIZE];
};

static struct rest private_rest = {.mutex = PTHREAD_MUTEX_INITIALIZER}; /* until the first log_sink_open() */
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

static void use(struct sink sink, const char *path)
{
    close_sink(&current);
    if (sink.manner != BY_SYSLOG)
        log_syslog_close();
    current = sink;
    strlcpy(current_path, path, sizeof(current_path));
}

/* Without memory for it each process has its own: no worse than no lock. */
static void share_rest(void)
{
    pthread_mutexattr_t attributes;

    if (rest != &private_rest)
        return;
    struct rest *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(&shared->mutex, &attributes) == 0)
        rest = shared;
    pthread_mutexattr_destroy(&attributes);
}

int log_sink_open(const char *target)
{
    share_rest();
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

/* Only while the fragment is the end of the file: others may write to it as well. */
static bool take_back(const struct sink *sink, size_t size)
{
    off_t end = lseek(sink->fd, 0, SEEK_CUR);
    struct stat status;

    if (sink->type != S_IFREG || end < (off_t)size || fstat(sink->fd, &status) < 0 || status.st_size != end)
        return false;
    end -= (off_t)size;
    return ftruncate(sink->fd, end) == 0 && lseek(sink->fd, end, SEEK_SET) == end;
}

static void keep_rest(const struct sink *sink, const char *bytes, size_t size)
{
    rest->device = sink->device;
    rest->inode = sink->inode;
    memcpy(rest->bytes, bytes, size);
    rest->size = size;
}

/* False when there is still some. */
static bool write_rest(const struct sink *sink)
{
    if (rest->size == 0 || rest->device != sink->device || rest->inode != sink->inode)
        return true;
    ssize_t n = write_some(sink, rest->bytes, rest->size);
    if (n > 0) {
        rest->size -= (size_t)n;
        memmove(rest->bytes, rest->bytes + n, rest->size);
    }
    return rest->size == 0;
}

static bool write_whole(const struct sink *sink, const char *lines, size_t size)
{
    ssize_t n = write_rest(sink) ? write_some(sink, lines, size) : -1;

    if (n <= 0 || (size_t)n == size)
        return n > 0;
    if (take_back(sink, (size_t)n))
        return false;
    keep_rest(sink, lines + n, size - (size_t)n);
    return true;
}

static bool lock(void)
{
    static bool in_vain; /* whoever has it is stopped: wait once, not for each line */
    int error = pthread_mutex_trylock(&rest->mutex);

    if (error == EBUSY && !in_vain) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 1000L * 1000 * LOCK_MS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        error = pthread_mutex_clocklock(&rest->mutex, CLOCK_MONOTONIC, &until);
    }
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&rest->mutex);
    in_vain = error != 0;
    return error == 0;
}

bool log_sink_write(const char *lines, size_t size)
{
    if (current.type == S_IFIFO || current.manner == BY_SYSLOG) /* nothing goes in part */
        return write_some(&current, lines, size) == (ssize_t)size;
    bool locked = lock();
    if (!locked && current.type != S_IFREG) /* there may be a rest that has to come first */
        return false;
    bool written = write_whole(&current, lines, size);
    if (locked)
        pthread_mutex_unlock(&rest->mutex);
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
