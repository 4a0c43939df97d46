#include "common/log.h"
#include "common/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

enum { LINE_SIZE = 1024, PATH_SIZE = 256, ROLE_SIZE = 24 };

static const struct {
    const char *name;
    int priority; /* syslog's */
} levels[] = {
    {"debug", LOG_DEBUG},  {"info", LOG_INFO}, {"notice", LOG_NOTICE},
    {"warn", LOG_WARNING}, {"error", LOG_ERR}, {"fatal", LOG_CRIT},
};

static struct {
    int fd; /* -1: syslog */
    enum log_level level;
    char role[ROLE_SIZE];
    char path[PATH_SIZE]; /* "" unless the log is a file */
    uint64_t unwritten;   /* lines that did not make it */
} logger = {.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO, .role = "ccserver"};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void use(int fd, const char *path)
{
    if (logger.fd > STDERR_FILENO)
        close(logger.fd);
    logger.fd = fd;
    strlcpy(logger.path, path, sizeof(logger.path));
}

int log_open(const char *target)
{
    if (strcmp(target, "stderr") == 0) {
        use(STDERR_FILENO, "");
    } else if (strcmp(target, "syslog") == 0) {
        openlog("ccserver", LOG_PID | LOG_NDELAY, LOG_DAEMON);
        use(-1, "");
    } else {
        int fd = open_file(target);
        if (fd < 0)
            return -1;
        use(fd, target);
    }
    return 0;
}

int log_reopen(void)
{
    if (logger.path[0] == '\0')
        return 0;
    int fd = open_file(logger.path);
    if (fd < 0)
        return -1;
    close(logger.fd);
    logger.fd = fd;
    return 0;
}

void log_set_level(enum log_level level)
{
    logger.level = level;
}

void log_set_role(const char *role)
{
    strlcpy(logger.role, role, sizeof(logger.role));
}

bool log_enabled(enum log_level level)
{
    return level >= logger.level;
}

static size_t add(char *line, size_t used, const char *format, ...) __attribute__((format(printf, 3, 4)));

static size_t add(char *line, size_t used, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line + used, LINE_SIZE - used, format, arguments);
    va_end(arguments);
    return n < 0 ? used : (size_t)n < LINE_SIZE - used ? used + (size_t)n : LINE_SIZE - 1;
}

static size_t add_prefix(char *line, enum log_level level)
{
    struct timeval now;
    struct tm date;
    char second[32];

    gettimeofday(&now, NULL);
    localtime_r(&now.tv_sec, &date);
    strftime(second, sizeof(second), "%Y-%m-%d %H:%M:%S", &date);
    return add(line, 0, "%s.%03d %s %s[%d]: ", second, (int)(now.tv_usec / 1000), levels[level].name, logger.role,
               (int)getpid());
}

/* Peers' bytes can end up in a line: they must not forge another one, nor steer a terminal. */
static void blank_control_characters(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

static void write_line(enum log_level level, const char *format, va_list arguments)
{
    int saved = errno;
    char line[LINE_SIZE + 1];
    size_t prefix = add_prefix(line, level);

    if (logger.unwritten > 0)
        prefix = add(line, prefix, "(%llu lines could not be written) ", (unsigned long long)logger.unwritten);
    int n = vsnprintf(line + prefix, LINE_SIZE - prefix, format, arguments);
    size_t size = n < 0 ? prefix : (size_t)n < LINE_SIZE - prefix ? prefix + (size_t)n : LINE_SIZE - 1;
    blank_control_characters(line + prefix, size - prefix);
    while (size > prefix && line[size - 1] == ' ')
        size--;

    if (logger.fd < 0) {
        line[size] = '\0';
        syslog(levels[level].priority, "%s: %s", logger.role, line + prefix);
    } else {
        line[size++] = '\n';
        ssize_t written;
        do
            written = write(logger.fd, line, size);
        while (written < 0 && errno == EINTR);
        logger.unwritten = written == (ssize_t)size ? 0 : logger.unwritten + 1;
    }
    errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

void log_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(LOG_LEVEL_FATAL, format, arguments);
    va_end(arguments);
    abort();
}

int log_descriptor(void)
{
    return logger.fd < 0 ? STDERR_FILENO : logger.fd;
}

void log_abort_line(const char *text)
{
    struct iovec pieces[] = {{logger.role, strlen(logger.role)}, {": ", 2}, {(void *)text, strlen(text)}, {"\n", 1}};

    if (writev(log_descriptor(), pieces, 4) < 0)
        logger.unwritten++;
}

void log_limited(struct log_limit *limit, unsigned burst, enum log_level level, const char *format, ...)
{
    uint64_t second = clock_now_ms() / 1000;

    if (!log_enabled(level))
        return;
    if (second != limit->second) {
        if (limit->held_back > 0)
            log_write(level, "%u lines like the next one were held back", limit->held_back);
        *limit = (struct log_limit){.second = second};
    }
    if (limit->written == burst) {
        limit->held_back++;
        return;
    }
    limit->written++;
    va_list arguments;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}
