#include "master/endpoint.h"
#include "common/file.h"
#include "common/log.h"
#include "master/queue.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

enum { FOLDER_MODE = 0755 };

#define FOR_EACH(endpoint, endpoints)                                                                                  \
    for (unsigned index_ = 0; index_ < (endpoints)->count && ((endpoint) = (endpoints)->all[index_]); index_++)

static void forget(struct endpoints *endpoints, unsigned index)
{
    queue_close(endpoints->all[index]);
    free(endpoints->all[index]);
    endpoints->count--;
    for (unsigned i = index; i < endpoints->count; i++)
        endpoints->all[i] = endpoints->all[i + 1];
}

struct endpoint *endpoints_add(struct endpoints *endpoints)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    struct endpoint **all = reallocarray(endpoints->all, endpoints->count + 1, sizeof(struct endpoint *));

    if (all)
        endpoints->all = all;
    if (!endpoint || !all) {
        free(endpoint);
        return NULL;
    }
    endpoint->access = UNIX_ACCESS_DEFAULT;
    endpoint->former = -1;
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
    return !queue_is_unix(endpoint) && sock_port(address) == 0 && strcmp(endpoint->asked, address->text) == 0 &&
           strcmp(endpoint->listener, listener) == 0;
}

static struct endpoint *find_or_add(struct endpoints *endpoints, const struct listener_config *listener,
                                    const struct sock_address *address)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
        if (serves(endpoint, listener->name, address))
            return endpoint;
    endpoint = endpoints_add(endpoints);
    if (endpoint) {
        endpoint->added = true;
        endpoint->address = *address;
        strlcpy(endpoint->asked, address->text, sizeof(endpoint->asked));
    }
    return endpoint;
}

static int claim(struct endpoints *endpoints, const struct listener_config *listener, struct sock_address *address,
                 unsigned slots)
{
    struct endpoint *endpoint = find_or_add(endpoints, listener, address);

    if (listener->service->operates && file_make_folder_of(address->local.sun_path, FOLDER_MODE) < 0)
        return -1;
    if (!endpoint || queue_open(endpoints, endpoint, listener, slots) < 0)
        return -1;
    endpoint->claimed = true;
    strlcpy(endpoint->listener, listener->name, sizeof(endpoint->listener));
    *address = endpoint->address;
    return 0;
}

/* What has failed at this address of a configuration, by errno. */
static void explain(const struct conf *conf, const struct listener_config *listener, const char *what,
                    const char *address, char *error, size_t error_size)
{
    int number = errno;
    char place[CONF_PLACE_SIZE];
    bool is_taken = number == EADDRINUSE && listener->service->operates;

    snprintf(error, error_size, "%s%s %s (%s): %s%s", conf_place(conf, listener, place), what, address, listener->name,
             strerror(number), is_taken ? "; another server may have another runtime_dir" : "");
}

int endpoints_claim(struct endpoints *endpoints, struct conf *conf, const unsigned *slots, char *error,
                    size_t error_size)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
        endpoint->claimed = endpoint->added = false;
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++) {
            struct listener_config *listener = &conf->listeners[i];
            if (claim(endpoints, listener, &listener->addresses[j], slots[listener->pool]) == 0)
                continue;
            explain(conf, listener, "cannot listen on", listener->addresses[j].text, error, error_size);
            endpoints_forget_added(endpoints);
            return -1;
        }
    return 0;
}

static const struct listener_config *listener_of(const struct conf *conf, const struct endpoint *endpoint)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        if (strcmp(conf->listeners[i].name, endpoint->listener) == 0)
            return &conf->listeners[i];
    return NULL;
}

void endpoints_reopen(const struct endpoints *endpoints, const struct conf *conf, unsigned pool, unsigned number)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; conf->listeners[i].pool == pool && j < conf->listeners[i].address_count; j++)
            queue_reopen(endpoints_find(endpoints, &conf->listeners[i].addresses[j]), &conf->listeners[i], number);
}

/* Retired numbers, too: no process will be started for them. */
static void listen_all(struct endpoint *endpoint, const struct listener_config *listener)
{
    for (unsigned i = 0; i < endpoint->count; i++) {
        queue_reopen(endpoint, listener, i);
        if (endpoint->queues[i] >= 0)
            listen(endpoint->queues[i], (int)listener->backlog); /* its length may have changed */
    }
}

void endpoints_listen(const struct endpoints *endpoints, const struct conf *conf)
{
    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; j < conf->listeners[i].address_count; j++)
            listen_all(endpoints_find(endpoints, &conf->listeners[i].addresses[j]), &conf->listeners[i]);
}

int endpoints_renew(struct endpoints *endpoints, const struct conf *conf, char *error, size_t error_size)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints) {
        const char *what = NULL;
        if (!endpoint->claimed)
            continue;
        if (!endpoint->added && queue_try_access(endpoint, listener_of(conf, endpoint)) < 0)
            what = "cannot change who may connect to";
        else if (queue_renew(endpoint, listener_of(conf, endpoint)) < 0)
            what = "cannot listen on";
        if (!what)
            continue;
        explain(conf, listener_of(conf, endpoint), what, endpoint->address.text, error, error_size);
        endpoints_forget_added(endpoints);
        return -1;
    }
    return 0;
}

void endpoints_check_files(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints) {
        const char *path = endpoint->address.local.sun_path;
        if (!queue_is_unix(endpoint) || file_is(path, &endpoint->file))
            continue;
        log_warn("%s (%s): %s, so no client finds this listener", endpoint->address.text, endpoint->listener,
                 file_is_absent(path) ? "its file has been removed" : "another server has taken the path");
    }
}

static bool is_covered(const struct endpoints *endpoints, const struct endpoint *specific)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
        if (endpoint->claimed && sock_is_wildcard(&endpoint->address) &&
            sock_same(&endpoint->address, &specific->address))
            return true;
    return false;
}

void endpoints_yield_covered(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
        if (!endpoint->claimed && is_covered(endpoints, endpoint))
            for (unsigned i = 0; i < endpoint->count; i++)
                sock_drop_newcomers(endpoint->queues[i]);
}

static void keep(struct endpoint *endpoint, const struct listener_config *listener)
{
    queue_commit(endpoint);
    if (endpoint->added) {
        log_notice("listening on %s (%s)", endpoint->address.text, endpoint->listener);
        return;
    }
    listen_all(endpoint, listener);
    queue_set_access(endpoint, listener);
}

void endpoints_keep_claimed(struct endpoints *endpoints, const struct conf *conf)
{
    struct endpoint *endpoint;

    for (unsigned i = endpoints->count; i-- > 0;) {
        endpoint = endpoints->all[i];
        if (endpoint->claimed)
            continue;
        log_notice("no longer listening on %s (%s)", endpoint->address.text, endpoint->listener);
        queue_remove_file(endpoint);
        forget(endpoints, i);
    }
    FOR_EACH(endpoint, endpoints)
        keep(endpoint, listener_of(conf, endpoint));
}

void endpoints_forget_added(struct endpoints *endpoints)
{
    for (unsigned i = endpoints->count; i-- > 0;) {
        struct endpoint *endpoint = endpoints->all[i];
        queue_restore(endpoint);
        if (!endpoint->added)
            continue;
        queue_remove_file(endpoint);
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

unsigned endpoints_numbers(const struct endpoints *endpoints, const struct conf *conf, unsigned pool)
{
    unsigned most = 0;

    for (unsigned i = 0; i < conf->listener_count; i++)
        for (unsigned j = 0; conf->listeners[i].pool == pool && j < conf->listeners[i].address_count; j++) {
            const struct endpoint *endpoint = endpoints_find(endpoints, &conf->listeners[i].addresses[j]);
            if (endpoint && endpoint->count > most)
                most = endpoint->count;
        }
    return most;
}

/* The same listener, or another one of this pool that takes its address over. */
static bool is_of_pool(const struct endpoint *endpoint, const struct conf *conf, unsigned pool)
{
    for (unsigned i = 0; i < conf->listener_count; i++) {
        const struct listener_config *listener = &conf->listeners[i];
        if (listener->pool != pool)
            continue;
        if (strcmp(listener->name, endpoint->listener) == 0)
            return true;
        for (unsigned j = 0; j < listener->address_count; j++)
            if (sock_equal(&listener->addresses[j], &endpoint->address))
                return true;
    }
    return false;
}

unsigned endpoints_fewest(const struct endpoints *endpoints, const struct conf *conf, unsigned pool)
{
    struct endpoint *endpoint;
    unsigned fewest = CONF_WORKERS_MAX;

    FOR_EACH(endpoint, endpoints)
        if (endpoint->count < fewest && is_of_pool(endpoint, conf, pool))
            fewest = endpoint->count;
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
        queue_commit(endpoint); /* a former socket is for those who have it already */
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
        if (unlink_files)
            queue_remove_file(endpoint);
        forget(endpoints, 0);
    }
    free(endpoints->all);
    endpoints->all = NULL;
}

void endpoints_inherit(const struct endpoints *endpoints)
{
    struct endpoint *endpoint;

    FOR_EACH(endpoint, endpoints)
        for (unsigned i = 0; i < endpoint->count; i++)
            if (endpoint->queues[i] >= 0)
                fcntl(endpoint->queues[i], F_SETFD, 0);
}
