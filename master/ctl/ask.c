#include "master/ctl/ask.h"
#include "common/clock.h"
#include "common/request.h"
#include "common/text.h"
#include "master/ctl/ending.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 64 << 20, FIRST_SIZE = 64 << 10, AGAIN_MS = 20, AGAIN_MAX = 100 };

bool ask_find(const struct server *server, char path[ASK_PATH_SIZE])
{
    static const char scheme[] = "unix:";

    for (unsigned i = 0; i < server->state.listener_count; i++) {
        const struct state_listener *listener = &server->state.listeners[i];
        const char *address = listener->addresses[0];
        if (strcmp(listener->service, "control") != 0 || strncmp(address, scheme, strlen(scheme)) != 0)
            continue;
        address += strlen(scheme);
        if (address[0] == '/')
            snprintf(path, ASK_PATH_SIZE, "%s", address);
        else
            snprintf(path, ASK_PATH_SIZE, "/proc/%d/cwd/%s", (int)server->pid, address);
        return true;
    }
    return false;
}

void ask_print(char *line)
{
    text_make_safe(line);
    puts(line);
}

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("ccserverctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- the connection ---- */

struct connection {
    int fd;
    bool is_quiet;
    uint64_t until_ms;
    char *text; /* what has been read */
    size_t size, capacity, taken;
};

static enum ctl_exit give_up(const struct connection *connection, const char *text)
{
    if (!connection->is_quiet)
        complain("%s", text);
    return CTL_NO_ANSWER;
}

static enum ctl_exit explain(const struct ask *ask)
{
    const char *path = ask->path;

    if (ask->is_quiet && errno != EACCES && errno != EPERM)
        return CTL_NO_ANSWER;
    switch (errno) {
    case EACCES:
    case EPERM: complain("you may not connect to %s", path); return CTL_NOT_ALLOWED;
    case EAGAIN: complain("%s: too many wait there already", path); return CTL_NO_ANSWER;
    case ENOENT:
    case ECONNREFUSED: complain("nobody listens at %s", path); return CTL_NOT_RUNNING;
    default: complain("%s: %s", path, strerror(errno)); return CTL_REFUSED;
    }
}

static enum ctl_exit connect_to(struct connection *connection, const struct ask *ask)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(ask->path) >= sizeof(address.sun_path)) {
        complain("%s: too long for the path of a socket", ask->path);
        return CTL_USAGE;
    }
    memcpy(address.sun_path, ask->path, strlen(ask->path));
    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return explain(ask);
    return CTL_DONE;
}

static void close_connection(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    free(connection->text);
}

/* A line of words fits into the queue of a socket that nothing has been sent to. */
static bool send_words(const struct connection *connection, const char *const *words)
{
    char line[512];
    size_t size = 0;

    for (; *words && size < sizeof(line); words++)
        size += (size_t)snprintf(line + size, sizeof(line) - size, "%s%s", size ? " " : "", *words);
    if (size >= sizeof(line) - 1 || strchr(line, '\n')) {
        errno = EMSGSIZE;
        return false;
    }
    line[size] = '\n';
    return send(connection->fd, line, size + 1, MSG_NOSIGNAL) == (ssize_t)size + 1;
}

/* Connect and ask. A worker that leaves may close a connection before it has been asked anything: then the next one is. */
static enum ctl_exit open_connection(struct connection *connection, const struct ask *ask)
{
    *connection = (struct connection){
        .fd = -1, .is_quiet = ask->is_quiet, .until_ms = clock_now_ms() + ask->timeout_ms};
    for (;;) {
        enum ctl_exit result = connect_to(connection, ask);
        if (result != CTL_DONE || send_words(connection, ask->words))
            return result;
        if (errno != EPIPE || clock_now_ms() >= connection->until_ms)
            return explain(ask);
        close(connection->fd);
        connection->fd = -1;
    }
}

static bool make_room(struct connection *connection)
{
    if (connection->taken > 0) /* else there may be no text yet */
        memmove(connection->text, connection->text + connection->taken, connection->size - connection->taken);
    connection->size -= connection->taken;
    connection->taken = 0;
    if (connection->size < connection->capacity)
        return true;
    size_t capacity = connection->capacity ? 2 * connection->capacity : FIRST_SIZE;
    char *text = capacity > LINE_MAX_SIZE ? NULL : realloc(connection->text, capacity);
    if (!text)
        return false;
    connection->text = text;
    connection->capacity = capacity;
    return true;
}

static enum ctl_exit read_more(struct connection *connection)
{
    struct pollfd input = {.fd = connection->fd, .events = POLLIN};
    uint64_t now_ms = clock_now_ms();

    if (now_ms >= connection->until_ms || poll(&input, 1, (int)(connection->until_ms - now_ms)) == 0)
        return give_up(connection, "no answer in time; it may still come");
    if ((connection->taken > 0 || connection->size == connection->capacity) && !make_room(connection)) {
        complain("a line of the answer is too long");
        return CTL_REFUSED;
    }
    ssize_t size = read(connection->fd, connection->text + connection->size, connection->capacity - connection->size);
    if (size > 0)
        connection->size += (size_t)size;
    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR)))
        return CTL_DONE;
    return give_up(connection, "the connection has ended before the answer");
}

/* The next line, without its end. */
static enum ctl_exit read_line(struct connection *connection, char **line)
{
    size_t searched = 0;

    for (;;) {
        char *begin = connection->text + connection->taken;
        size_t size = connection->size - connection->taken;
        char *end = size > searched ? memchr(begin + searched, '\n', size - searched) : NULL;
        if (end) {
            *end = '\0';
            connection->taken += (size_t)(end + 1 - begin);
            *line = begin;
            return CTL_DONE;
        }
        searched = size;
        enum ctl_exit result = read_more(connection);
        if (result != CTL_DONE)
            return result;
    }
}

/* ---- the answer ---- */

/* It was a worker of the master before the one in charge that has answered: nothing was done. */
static bool is_outdated(const char *line)
{
    static const char refusal[] = "refused " REQUEST_NOT_IN_CHARGE;

    return strcmp(line, refusal) == 0;
}

/* The last line. */
static enum ctl_exit conclude(char *line)
{
    static const struct {
        const char *word;
        enum ctl_exit exit;
    } ends[] = {{"done", CTL_DONE}, {"refused", CTL_REFUSED}, {"denied", CTL_NOT_ALLOWED}, {"misused", CTL_USAGE}};
    char *sentence = strchr(line, ' ');

    text_make_safe(line);
    if (sentence)
        *sentence++ = '\0';
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (strcmp(ends[i].word, line) != 0)
            continue;
        if (sentence && ends[i].exit == CTL_DONE)
            printf("done: %s\n", sentence);
        else if (sentence)
            complain("%s", sentence);
        return ends[i].exit;
    }
    complain("this is no control socket");
    return CTL_REFUSED;
}

/* Of the next connection where this answer is outdated, for some seconds after an upgrade. */
static enum ctl_exit read_first_line(struct connection *connection, const struct ask *ask, char **line)
{
    enum ctl_exit result = read_line(connection, line);

    for (unsigned i = 0; i < AGAIN_MAX && result == CTL_DONE && is_outdated(*line); i++) {
        poll(NULL, 0, AGAIN_MS);
        close_connection(connection);
        result = open_connection(connection, ask);
        if (result == CTL_DONE)
            result = read_line(connection, line);
    }
    return result;
}

static enum ctl_exit converse(struct connection *connection, const struct ask *ask)
{
    char *line = NULL;
    enum ctl_exit result = read_first_line(connection, ask, &line);

    for (; result == CTL_DONE && line[0] == ' '; result = read_line(connection, &line)) {
        ask->line(line + 1);
        if (connection->taken == connection->size) /* nothing more at this moment: whoever reads along sees it now */
            fflush(stdout);
    }
    return result == CTL_DONE ? conclude(line) : result;
}

enum ctl_exit ask(const struct ask *ask)
{
    struct connection connection;
    enum ctl_exit result = open_connection(&connection, ask);

    if (result == CTL_DONE)
        result = converse(&connection, ask);
    close_connection(&connection);
    return result;
}

/* Whoever has called listen(): the master. */
static void watch_master(const struct connection *connection, struct ending *ending)
{
    struct ucred master = {0};
    socklen_t size = sizeof(master);

    if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &master, &size) == 0)
        ending_open(ending, master.pid);
}

enum ctl_exit ask_stop(const struct ask *ask)
{
    struct connection connection;
    struct ending ending = {.ends = {{.fd = -1}, {.fd = -1}}};
    enum ctl_exit result = open_connection(&connection, ask);

    if (result == CTL_DONE) {
        watch_master(&connection, &ending);
        result = converse(&connection, ask);
    }
    if (result == CTL_DONE && !ending_wait(&ending, ask->timeout_ms)) {
        complain("no answer in time; it may still come");
        result = CTL_NO_ANSWER;
    }
    if (result == CTL_DONE)
        puts("done: it has ended");
    ending_close(&ending);
    close_connection(&connection);
    return result;
}
