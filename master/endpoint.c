#include "master/endpoint.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#define FOR_EACH(endpoint, endpoints)                                                                                  \
    for (unsigned index_ = 0; index_ < (endpoints)->count && ((endpoint) = (endpoints)->all[index_]); index_++)

static bool is_unix(const struct endpoint *endpoint)
{
    return endpoint->address.any.sa_family == AF_UNIX;
}

static void free_endpoint(struct endpoint *endpoint)
{
    for (unsigned i = 0; i < endpoint->count; i++)
        if (endpoint->queues[i] >= 0)
            close(endpoint->queues[i]);
    free(endpoint);
}

static void forget(struct endpoints *endpoints, unsigned index)
{
    free_endpoint(endpoints->all[index]);
    endpoints->count--;
    for (unsigned i = index; i < endpoints->count; i++)
        endpoints->all[i] = endpoints->all[i + 1];
}

static struct endpoint *add(struct endpoints *endpoints)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    struct endpoint **all = reallocarray(endpoints->all, endpoints->count + 1, sizeof(struct endpoint *));

    if (all)
        endpoints->all = all;
    if (!endpoint || !all) {
        free(endpoint);
        return NULL;
    }
    endpoints->all[endpoints->count++] = endpoint;
    return endpoint;
}

/* ---- a configuration wants its addresses ---- */

/* A port that the kernel has chosen is recognised by who asked for it; two of one listener are told apart by order. */
static bool serves(const struct endpoint *endpoint, const char *listener, const struct sock_address *address)
{
    if (endpoint->claimed)
        return false;
    if (sock_equal(&endpoint->address, address))
        return true;
    return !is_unix(endpoint) && sock_port(address) == 0 && strcmp(endpoint->asked, address->text) == 0 &&
           strcmp(endpoint->listener, listener) == 0;
}

static struct endpoint *find_or_add(struct endpoints *endpoints, const struct listener_config *listener,
                                    const struct sock_address *address)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    if (serves(endpoint, listener->name, address))
        return endpoint;
    endpoint = add(endpoints);
    if (endpoint) {
        endpoint->added = true;
        endpoint->address = *address;
        strlcpy(endpoint->asked, address->text, sizeof(endpoint->asked));
    }
    return endpoint;
}

static int grow(struct endpoint *endpoint, int backlog, unsigned slots)
{
    if (endpoint->count == 0) {
        if (sock_listen(&endpoint->address, backlog, endpoint->queues, slots) < 0)
            return -1;
        endpoint->count = slots;
    }
    for (; endpoint->count < slots; endpoint->count++) {
        int fd = is_unix(endpoint) ? -1 : sock_listen_more(&endpoint->address, backlog);
        if (fd < 0 && !is_unix(endpoint))
            return -1;
        endpoint->queues[endpoint->count] = fd;
    }
    return 0;
}

static int claim(struct endpoints *endpoints, const struct listener_config *listener, struct sock_address *address,
                 unsigned slots)
{
    struct endpoint *endpoint = find_or_add(endpoints, listener, address);

    if (!endpoint || grow(endpoint, (int)listener->backlog, slots) < 0)
        return -1;
    endpoint->claimed = true;
    strlcpy(endpoint->listener, listener->name, sizeof(endpoint->listener));
    *address = endpoint->address;
    return 0;
}

int endpoints_claim(struct endpoints *endpoints, struct conf *conf, unsigned slots, char *why, size_t why_size)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    endpoint->claimed = endpoint->added = false;
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++) {
            struct listener_config *listener = &conf->listeners[i];
            if (claim(endpoints, listener, &listener->addresses[j], slots) == 0)
                continue;
            snprintf(why, why_size, "cannot listen on %s (%s): %s", listener->addresses[j].text, listener->name,
                     strerror(errno));
            endpoints_forget_added(endpoints);
            return -1;
        }
    return 0;
}

static uint32_t backlog_of(const struct conf *conf, const char *listener)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        if (strcmp(conf->listeners[i].name, listener) == 0)
            return conf->listeners[i].backlog;
    return SOMAXCONN;
}

/* The length of a queue may have changed. */
static void set_backlog(const struct endpoint *endpoint, int backlog)
{
    for (unsigned i = 0; i < endpoint->count; i++)
        if (endpoint->queues[i] >= 0)
            listen(endpoint->queues[i], backlog);
}

void endpoints_listen(const struct endpoints *endpoints, const struct conf *conf)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    set_backlog(endpoint, (int)backlog_of(conf, endpoint->listener));
}

void endpoints_keep_claimed(struct endpoints *endpoints, const struct conf *conf)
{
    struct endpoint *endpoint;

    for (unsigned i = endpoints->count; i-- > 0;) {
        endpoint = endpoints->all[i];
        if (endpoint->claimed)
            continue;
        log_notice("no longer listening on %s (%s)", endpoint->address.text, endpoint->listener);
        if (is_unix(endpoint))
            unlink(endpoint->address.local.sun_path);
        forget(endpoints, i);
    }
    FOR_EACH(endpoint, endpoints)
    {
        if (endpoint->added)
            log_notice("listening on %s (%s)", endpoint->address.text, endpoint->listener);
        else
            set_backlog(endpoint, (int)backlog_of(conf, endpoint->listener));
    }
}

void endpoints_forget_added(struct endpoints *endpoints)
{
    for (unsigned i = endpoints->count; i-- > 0;) {
        struct endpoint *endpoint = endpoints->all[i];
        if (!endpoint->added)
            continue;
        if (is_unix(endpoint) && endpoint->count > 0)
            unlink(endpoint->address.local.sun_path);
        forget(endpoints, i);
    }
}

void endpoints_shut_unclaimed(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    for (unsigned i = 0; i < endpoint->count && !endpoint->claimed; i++)
        if (endpoint->queues[i] >= 0)
            shutdown(endpoint->queues[i], SHUT_RD);
}

struct endpoint *endpoints_find(const struct endpoints *endpoints, const struct sock_address *address)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    if (sock_equal(&endpoint->address, address))
        return endpoint;
    return NULL;
}

unsigned endpoints_numbers(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;
    unsigned most = 0;

    FOR_EACH(endpoint, endpoints)
    most = endpoint->count > most ? endpoint->count : most;
    return most;
}

unsigned endpoints_fewest(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;
    unsigned fewest = CONF_WORKERS_MAX;

    FOR_EACH(endpoint, endpoints)
    fewest = endpoint->count < fewest ? endpoint->count : fewest;
    return fewest;
}

/* ---- other processes ---- */

/* Queues are mostly numbered one after the other, so that a few calls close thousands of them. */
static void close_run(const int *queues, unsigned count)
{
    for (unsigned begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        while (end < count && queues[end] == queues[end - 1] + 1)
            end++;
        if (queues[begin] >= 0)
            close_range((unsigned)queues[begin], (unsigned)queues[end - 1], 0);
    }
}

static bool is_kept(int fd, const struct worker_socket *kept, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (kept[i].fd == fd)
            return true;
    return false;
}

void endpoints_close_others(const struct endpoints *endpoints, const struct worker_socket *kept, unsigned count)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    for (unsigned begin = 0, end; begin < endpoint->count; begin = end + 1) {
        for (end = begin; end < endpoint->count && !is_kept(endpoint->queues[end], kept, count);)
            end++;
        close_run(endpoint->queues + begin, end - begin);
    }
}

void endpoints_fini(struct endpoints *endpoints, bool unlink_files)
{
    while (endpoints->count > 0) {
        struct endpoint *endpoint = endpoints->all[0];
        if (unlink_files && is_unix(endpoint) && endpoint->count > 0)
            unlink(endpoint->address.local.sun_path);
        forget(endpoints, 0);
    }
    free(endpoints->all);
    endpoints->all = NULL;
}

int endpoints_write(const struct endpoints *endpoints, FILE *out)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    {
        fprintf(out, "%s\t%s\t%u", endpoint->asked, endpoint->listener, endpoint->count);
        for (unsigned i = 0; i < endpoint->count; i++)
            fprintf(out, "\t%d", endpoint->queues[i]);
        fputc('\n', out);
    }
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

/* A decimal number that is a whole field. */
static int next_number(char **rest, int min, int max, int *number)
{
    const char *field = strsep(rest, "\t"), *why = "missing";

    *number = field ? (int)strtonum(field, min, max, &why) : -1;
    return why ? -1 : 0;
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof(listening);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* The address is asked of the kernel: it knows best. */
static int read_endpoint(struct endpoint *endpoint, char *line)
{
    const char *asked = strsep(&line, "\t"), *listener = strsep(&line, "\t");
    int count, fd;

    if (!asked || !listener || strlcpy(endpoint->asked, asked, sizeof(endpoint->asked)) >= sizeof(endpoint->asked) ||
        strlcpy(endpoint->listener, listener, sizeof(endpoint->listener)) >= sizeof(endpoint->listener) ||
        next_number(&line, 1, CONF_WORKERS_MAX, &count) < 0)
        return -1;
    while (endpoint->count < (unsigned)count) {
        /* A descriptor that is not ours to hold is not kept: it would be closed with the endpoint. */
        if (next_number(&line, -1, INT_MAX, &fd) < 0 || (fd < 0 && endpoint->count == 0) ||
            (fd >= 0 && (!is_listening(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)))
            return -1;
        endpoint->queues[endpoint->count++] = fd;
    }
    endpoint->address.size = sizeof(endpoint->address.storage);
    if (line || getsockname(endpoint->queues[0], &endpoint->address.any, &endpoint->address.size) < 0)
        return -1;
    sock_format(&endpoint->address.any, endpoint->address.size, endpoint->address.text, SOCK_TEXT_SIZE);
    return 0;
}

int endpoints_read(struct endpoints *endpoints, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    int result = 0;

    for (ssize_t size; result == 0 && (size = getline(&line, &room, in)) > 0;) {
        struct endpoint *endpoint = add(endpoints);
        if (!endpoint) {
            result = -1;
        } else if (line[size - 1] != '\n') {
            errno = EBADMSG; /* cut short */
            result = -1;
        } else {
            line[size - 1] = '\0';
            result = read_endpoint(endpoint, line);
            errno = EBADMSG;
        }
    }
    free(line);
    return ferror(in) ? -1 : result;
}

void endpoints_inherit(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
    for (unsigned i = 0; i < endpoint->count; i++)
        if (endpoint->queues[i] >= 0)
            fcntl(endpoint->queues[i], F_SETFD, 0);
}
