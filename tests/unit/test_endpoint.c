/*
 * The listening sockets of the master: what a configuration wants is there, what is in use stays as it is, and another
 * master finds all of it again.
 */
#include "common/log.h"
#include "master/manifest.h"
#include "master/queue.h"
#include "tests/unit/filter.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bsd/string.h>

enum { LISTENERS = 4, BACKLOG = 100, MANY = 60 };

/* ---- configurations ---- */

/* One configuration; there are two at a time when the second one takes over. */
struct wanted {
    struct conf conf;
    struct listener_config listeners[LISTENERS];
};

static const struct service service;
static struct endpoints endpoints;
static char why[256], folder[] = "/tmp/test_endpoint.XXXXXX";

static struct wanted *nothing(void)
{
    struct wanted *wanted = calloc(1, sizeof(*wanted));

    CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
    wanted->conf.listeners = wanted->listeners;
    return wanted;
}

/* With a sanitizer, whoever looks behind the last listener, or behind its last address, is found out. */
static void guard(const struct wanted *wanted)
{
    ASAN_UNPOISON_MEMORY_REGION(wanted->listeners, sizeof(wanted->listeners));
    for (unsigned i = 0; i < LISTENERS; i++) {
        const struct listener_config *listener = &wanted->listeners[i];
        if (i >= wanted->conf.listener_count)
            ASAN_POISON_MEMORY_REGION(listener, sizeof(*listener));
        else if (listener->address_count < sizeof(listener->addresses) / sizeof(listener->addresses[0]))
            ASAN_POISON_MEMORY_REGION(&listener->addresses[listener->address_count], sizeof(listener->addresses[0]));
    }
}

/* One address more for the listener `name`. Returns it. */
static struct sock_address *add(struct wanted *wanted, const char *name, const char *address)
{
    unsigned i = 0;

    ASAN_UNPOISON_MEMORY_REGION(wanted->listeners, sizeof(wanted->listeners));
    while (i < wanted->conf.listener_count && strcmp(wanted->listeners[i].name, name) != 0)
        i++;
    CU_ASSERT_FATAL(i < LISTENERS);
    struct listener_config *listener = &wanted->listeners[i];
    if (i == wanted->conf.listener_count) {
        wanted->conf.listener_count++;
        listener->service = &service;
        listener->backlog = BACKLOG;
        listener->unix_uid = (uid_t)-1;
        listener->unix_gid = (gid_t)-1;
        strlcpy(listener->name, name, sizeof(listener->name));
    }
    CU_ASSERT_EQUAL_FATAL(sock_parse(&listener->addresses[listener->address_count], address, why, sizeof(why)), 0);
    struct sock_address *added = &listener->addresses[listener->address_count++];
    guard(wanted);
    return added;
}

static struct wanted *one(const char *name, const char *address)
{
    struct wanted *wanted = nothing();

    add(wanted, name, address);
    return wanted;
}

static int claim(struct wanted *wanted, unsigned slots)
{
    return endpoints_claim(&endpoints, &wanted->conf, &slots, why, sizeof(why));
}

/* It is applied, for good. */
static void apply(struct wanted *wanted, unsigned slots)
{
    CU_ASSERT_EQUAL_FATAL(claim(wanted, slots), 0);
    endpoints_keep_claimed(&endpoints, &wanted->conf);
}

static char *path_of(const char *name)
{
    static char text[128];

    snprintf(text, sizeof(text), "unix:%s/%s", folder, name);
    return text;
}

static bool exists(const char *name)
{
    struct stat status;

    return lstat(path_of(name) + strlen("unix:"), &status) == 0;
}

/* ---- what the world sees ---- */

static unsigned count_open(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Connect; the descriptor, or -1 with errno. */
static int visit(const struct sock_address *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, &address->any, address->size) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool answers(const struct sock_address *address)
{
    int fd = visit(address);

    if (fd < 0) {
        CU_ASSERT(errno == ECONNREFUSED || errno == ENOENT);
        return false;
    }
    close(fd);
    return true;
}

/* Connections that wait in the queue, and how many may. */
static struct tcp_info queue_info(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    CU_ASSERT_EQUAL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info;
}

static unsigned backlog_of(int fd)
{
    return queue_info(fd).tcpi_sacked;
}

static unsigned waiting(int fd)
{
    return queue_info(fd).tcpi_unacked;
}

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t size = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

static void check_queue(int fd)
{
    CU_ASSERT(is_listening(fd));
    CU_ASSERT(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CU_ASSERT(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* The endpoint of this address has so many queues, all of them different and open. */
static struct endpoint *check_endpoint(const struct sock_address *address, unsigned count)
{
    struct endpoint *endpoint = endpoints_find(&endpoints, address);

    CU_ASSERT_PTR_NOT_NULL_FATAL(endpoint);
    CU_ASSERT_EQUAL(endpoint->count, count);
    for (unsigned i = 0; i < endpoint->count; i++) {
        if (address->any.sa_family == AF_UNIX && i > 0) {
            CU_ASSERT_EQUAL(endpoint->queues[i], -1);
            continue;
        }
        check_queue(endpoint->queues[i]);
        for (unsigned j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(endpoint->queues[i], endpoint->queues[j]);
    }
    return endpoint;
}

static unsigned open_before;

static void begin(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    open_before = count_open();
    why[0] = '\0';
}

static void end(void)
{
    endpoints_fini(&endpoints, true);
    CU_ASSERT_EQUAL(endpoints.count, 0);
    CU_ASSERT_EQUAL(count_open(), open_before);
}

/* ---- claiming ---- */

static void test_claim(void)
{
    int clients[MANY];

    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    struct sock_address *second = add(wanted, "echo", "127.0.0.2:0"), *first = second - 1;
    struct sock_address *other = add(wanted, "bank", "[::1]:0");
    CU_ASSERT_EQUAL(endpoints_numbers(&endpoints, &wanted->conf, 0), 0);
    CU_ASSERT_EQUAL(claim(wanted, 3), 0);
    CU_ASSERT_EQUAL(endpoints.count, 3);
    CU_ASSERT_EQUAL(endpoints_numbers(&endpoints, &wanted->conf, 0), 3);
    CU_ASSERT(sock_port(first) > 0 && sock_port(second) > 0 && sock_port(other) > 0);
    CU_ASSERT_PTR_NULL(strstr(first->text, ":0")); /* what is printed is what clients need */
    const struct endpoint *endpoint = check_endpoint(first, 3);
    CU_ASSERT_STRING_EQUAL(endpoint->listener, "echo");
    CU_ASSERT_STRING_EQUAL(check_endpoint(second, 3)->listener, "echo");
    CU_ASSERT_STRING_EQUAL(check_endpoint(other, 3)->listener, "bank");
    for (unsigned i = 0; i < MANY; i++)
        CU_ASSERT((clients[i] = visit(first)) >= 0);
    unsigned sum = 0;
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT(waiting(endpoint->queues[i]) > 0); /* the kernel spreads them */
        sum += waiting(endpoint->queues[i]);
        CU_ASSERT_EQUAL(backlog_of(endpoint->queues[i]), BACKLOG);
    }
    CU_ASSERT_EQUAL(sum, MANY);
    for (unsigned i = 0; i < MANY; i++)
        close(clients[i]);
    CU_ASSERT(answers(second) && answers(other));
    endpoints_keep_claimed(&endpoints, &wanted->conf);
    end();
    CU_ASSERT_FALSE(answers(first) || answers(second) || answers(other));
    free(wanted);
}

/* Fewer workers, more workers: whatever waits in a queue goes on waiting. */
static void test_other_numbers(void)
{
    static const unsigned numbers[] = {4, 1, 2, 6, 5, 6};
    enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
    int clients[MANY], queues[8];
    unsigned most = 2, waits = 0;

    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, most);
    const struct endpoint *endpoint = check_endpoint(&wanted->listeners[0].addresses[0], most);
    for (unsigned i = 0; i < COUNT; i++) {
        memcpy(queues, endpoint->queues, sizeof(queues));
        unsigned before = most;
        most = numbers[i] > most ? numbers[i] : most;
        if (i % 2)
            apply(wanted, numbers[i]); /* a reload */
        else
            CU_ASSERT_EQUAL(claim(wanted, numbers[i]), 0); /* one worker more */
        CU_ASSERT_PTR_EQUAL(check_endpoint(&wanted->listeners[0].addresses[0], most), endpoint);
        CU_ASSERT_EQUAL(memcmp(queues, endpoint->queues, before * sizeof(int)), 0);
        CU_ASSERT_EQUAL(endpoints_numbers(&endpoints, &wanted->conf, 0), most);
        for (unsigned j = 0; j < MANY / COUNT; j++)
            CU_ASSERT((clients[waits++] = visit(&endpoint->address)) >= 0);
        unsigned sum = 0;
        for (unsigned j = 0; j < most; j++)
            sum += waiting(endpoint->queues[j]);
        CU_ASSERT_EQUAL(sum, waits);
    }
    CU_ASSERT_EQUAL(endpoints.count, 1);
    while (waits > 0)
        close(clients[--waits]);
    end();
    free(wanted);
}

/* One configuration takes the place of another: some addresses stay, one goes, one comes. */
static void test_other_addresses(void)
{
    begin();
    struct wanted *before = one("echo", "127.0.0.1:0");
    struct sock_address *stays = before->listeners[0].addresses, *goes = add(before, "echo", "127.0.0.1:0");
    apply(before, 2);
    const struct endpoint *kept = check_endpoint(stays, 2);
    struct wanted *after = one("echo", stays->text);
    struct sock_address *comes = add(after, "new", "127.0.0.3:0");
    CU_ASSERT_EQUAL(claim(after, 3), 0);
    CU_ASSERT_EQUAL(endpoints.count, 3);
    CU_ASSERT_PTR_EQUAL(check_endpoint(stays, 3), kept);
    check_endpoint(goes, 2); /* until the new one is sure to work */
    check_endpoint(comes, 3);
    CU_ASSERT(answers(stays) && answers(goes) && answers(comes));
    endpoints_keep_claimed(&endpoints, &after->conf);
    CU_ASSERT_EQUAL(endpoints.count, 2);
    CU_ASSERT_PTR_EQUAL(check_endpoint(stays, 3), kept);
    check_endpoint(comes, 3);
    CU_ASSERT_PTR_NULL(endpoints_find(&endpoints, goes));
    CU_ASSERT(answers(stays) && answers(comes));
    CU_ASSERT_FALSE(answers(goes));
    end();
    free(before);
    free(after);
}

/* The new configuration does not work out after all. */
static void test_forget_added(void)
{
    begin();
    struct wanted *before = one("echo", "127.0.0.1:0"), *after = one("echo", "127.0.0.2:0");
    struct sock_address *stays = before->listeners[0].addresses, *comes = after->listeners[0].addresses;
    add(before, "sock", path_of("stays"));
    apply(before, 2);
    add(after, "new", path_of("new"));
    CU_ASSERT_EQUAL(claim(after, 2), 0);
    CU_ASSERT(answers(comes) && exists("new"));
    endpoints_forget_added(&endpoints);
    CU_ASSERT_EQUAL(endpoints.count, 2);
    CU_ASSERT_FALSE(answers(comes) || exists("new"));
    check_endpoint(stays, 2);
    CU_ASSERT(answers(stays) && answers(&before->listeners[1].addresses[0]) && exists("stays"));
    apply(before, 2); /* and a later one sees nothing of it */
    CU_ASSERT_EQUAL(endpoints.count, 2);
    CU_ASSERT(answers(stays) && exists("stays"));
    end();
    free(before);
    free(after);
}

/* Somebody else listens at one of the new addresses: none of them is bound, and those in use serve on. */
static void test_refused(void)
{
    struct sock_address taken;
    int other;

    begin();
    struct wanted *before = one("echo", "127.0.0.1:0"), *after = one("echo", "127.0.0.2:0");
    struct sock_address *stays = before->listeners[0].addresses;
    apply(before, 2);
    CU_ASSERT_EQUAL(sock_parse(&taken, "127.0.0.1:0", why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(sock_listen(&taken, 5, &other, 1), 0);
    add(after, "echo", stays->text);
    add(after, "new", path_of("new"));
    add(after, "unlucky", taken.text);
    add(after, "unlucky", "127.0.0.3:0");
    int queues[2];
    memcpy(queues, endpoints_find(&endpoints, stays)->queues, sizeof(queues));
    CU_ASSERT_EQUAL(claim(after, 2), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, taken.text));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "unlucky"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(EADDRINUSE)));
    CU_ASSERT_EQUAL(endpoints.count, 1);
    CU_ASSERT_EQUAL(memcmp(check_endpoint(stays, 2)->queues, queues, sizeof(queues)), 0);
    CU_ASSERT_FALSE(exists("new"));
    CU_ASSERT(answers(stays) && answers(&taken));
    CU_ASSERT_EQUAL(count_open(), open_before + 3);
    close(other);
    apply(before, 2);
    check_endpoint(stays, 2);
    end();
    free(before);
    free(after);
}

static void test_backlog(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0"), *more = one("echo", "127.0.0.1:0");
    apply(wanted, 2);
    const struct endpoint *endpoint = check_endpoint(&wanted->listeners[0].addresses[0], 2);
    more->listeners[0].backlog = BACKLOG + 7;
    CU_ASSERT_EQUAL(claim(more, 3), 0);
    CU_ASSERT_EQUAL(backlog_of(endpoint->queues[0]), BACKLOG); /* it may still be refused */
    endpoints_keep_claimed(&endpoints, &more->conf);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(backlog_of(endpoint->queues[i]), BACKLOG + 7);
    end();
    free(wanted);
    free(more);
}

/* ---- ports that the kernel chooses ---- */

static void test_port_0_again(void)
{
    begin();
    struct wanted *first = one("echo", "127.0.0.1:0"), *again = one("echo", "127.0.0.1:0");
    add(first, "echo", "127.0.0.1:0");
    add(again, "echo", "127.0.0.1:0");
    apply(first, 2);
    const struct sock_address *before = first->listeners[0].addresses, *after = again->listeners[0].addresses;
    CU_ASSERT_NOT_EQUAL(sock_port(&before[0]), sock_port(&before[1]));
    for (unsigned i = 0; i < 3; i++) {
        apply(again, 2);
        CU_ASSERT_EQUAL(endpoints.count, 2);
        CU_ASSERT_EQUAL(sock_port(&after[0]), sock_port(&before[0])); /* in the same order */
        CU_ASSERT_EQUAL(sock_port(&after[1]), sock_port(&before[1]));
        CU_ASSERT_STRING_EQUAL(after[0].text, before[0].text);
        free(again);
        again = one("echo", "127.0.0.1:0");
        add(again, "echo", "127.0.0.1:0");
        after = again->listeners[0].addresses;
    }
    struct wanted *fewer = one("echo", "127.0.0.1:0");
    apply(fewer, 2);
    CU_ASSERT_EQUAL(endpoints.count, 1);
    CU_ASSERT_EQUAL(sock_port(&fewer->listeners[0].addresses[0]), sock_port(&before[0]));
    CU_ASSERT_FALSE(answers(&before[1]));
    end();
    free(first);
    free(again);
    free(fewer);
}

/* Another listener, or another host, is another port; the port itself may be asked for, by whomever. */
static void test_port_0_of_others(void)
{
    begin();
    struct wanted *first = one("echo", "127.0.0.1:0"), *other = one("bank", "127.0.0.1:0");
    struct wanted *elsewhere = one("bank", "127.0.0.2:0");
    apply(first, 1);
    CU_ASSERT_EQUAL(claim(other, 1), 0);
    CU_ASSERT_EQUAL(endpoints.count, 2);
    unsigned port = sock_port(&other->listeners[0].addresses[0]);
    CU_ASSERT_NOT_EQUAL(port, sock_port(&first->listeners[0].addresses[0]));
    endpoints_keep_claimed(&endpoints, &other->conf);
    CU_ASSERT_FALSE(answers(&first->listeners[0].addresses[0]));
    apply(elsewhere, 1);
    CU_ASSERT_EQUAL(endpoints.count, 1);
    CU_ASSERT_FALSE(answers(&other->listeners[0].addresses[0]));
    struct wanted *by_number = one("new", elsewhere->listeners[0].addresses[0].text);
    const struct endpoint *endpoint = endpoints.all[0];
    apply(by_number, 1);
    CU_ASSERT(endpoints.count == 1 && endpoints.all[0] == endpoint);
    CU_ASSERT_STRING_EQUAL(endpoint->listener, "new");
    CU_ASSERT(answers(&by_number->listeners[0].addresses[0]));
    end();
    free(first);
    free(other);
    free(elsewhere);
    free(by_number);
}

/* ---- unix sockets ---- */

static void test_unix(void)
{
    begin();
    struct wanted *wanted = one("echo", path_of("a"));
    add(wanted, "echo", path_of("b"));
    const struct sock_address *a = &wanted->listeners[0].addresses[0], *b = a + 1;
    apply(wanted, 2);
    int queue = check_endpoint(a, 2)->queues[0];
    CU_ASSERT(answers(a) && answers(b));
    apply(wanted, 4);
    CU_ASSERT_EQUAL(check_endpoint(a, 4)->queues[0], queue); /* there is one, whoever shares it */
    apply(wanted, 1);
    CU_ASSERT_EQUAL(check_endpoint(a, 4)->queues[0], queue);
    struct wanted *fewer = one("echo", path_of("b"));
    CU_ASSERT_EQUAL(claim(fewer, 1), 0);
    CU_ASSERT(answers(a));
    endpoints_keep_claimed(&endpoints, &fewer->conf);
    CU_ASSERT_FALSE(exists("a"));
    CU_ASSERT(answers(b));
    endpoints_fini(&endpoints, false); /* somebody else has it now */
    CU_ASSERT(exists("b"));
    CU_ASSERT_FALSE(answers(b));
    apply(fewer, 1); /* nobody has: the file is stale */
    CU_ASSERT(answers(b));
    end();
    CU_ASSERT_FALSE(exists("b"));
    free(wanted);
    free(fewer);
}

/* Whose socket it is keeps it, and its file. */
static void test_unix_refused(void)
{
    struct sock_address taken;
    int other;

    begin();
    CU_ASSERT_EQUAL(sock_parse(&taken, path_of("taken"), why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(sock_listen(&taken, 5, &other, 1), 0);
    struct wanted *wanted = one("echo", path_of("taken"));
    CU_ASSERT_EQUAL(claim(wanted, 2), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(EADDRINUSE)));
    CU_ASSERT_EQUAL(endpoints.count, 0);
    CU_ASSERT(answers(&taken));
    close(other);
    unlink(taken.local.sun_path);
    end();
    free(wanted);
}

/* ---- pools ---- */

static void set_pool(struct wanted *wanted, const char *name, unsigned pool)
{
    for (unsigned i = 0; i < wanted->conf.listener_count; i++)
        if (strcmp(wanted->listeners[i].name, name) == 0)
            wanted->listeners[i].pool = pool;
}

static void apply_pools(struct wanted *wanted, unsigned first, unsigned second)
{
    const unsigned slots[] = {first, second};

    CU_ASSERT_EQUAL_FATAL(endpoints_claim(&endpoints, &wanted->conf, slots, why, sizeof(why)), 0);
    endpoints_keep_claimed(&endpoints, &wanted->conf);
}

static void check_numbers(const struct wanted *wanted, unsigned pool, unsigned most, unsigned fewest)
{
    CU_ASSERT_EQUAL(endpoints_numbers(&endpoints, &wanted->conf, pool), most);
    CU_ASSERT_EQUAL(endpoints_fewest(&endpoints, &wanted->conf, pool), fewest);
}

/* Each pool has queues for as many workers as it has; one that shrinks keeps them, and new addresses have fewer. */
static void test_pools(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "bank", "127.0.0.1:0");
    set_pool(wanted, "bank", 1);
    check_numbers(wanted, 0, 0, CONF_WORKERS_MAX);
    apply_pools(wanted, 2, 5);
    check_endpoint(&wanted->listeners[0].addresses[0], 2);
    check_endpoint(&wanted->listeners[1].addresses[0], 5);
    check_numbers(wanted, 0, 2, 2);
    check_numbers(wanted, 1, 5, 5);
    struct wanted *more = one("echo", wanted->listeners[0].addresses[0].text);
    add(more, "bank", wanted->listeners[1].addresses[0].text);
    add(more, "bank", "127.0.0.2:0");
    set_pool(more, "bank", 1);
    apply_pools(more, 2, 3);
    check_numbers(more, 0, 2, 2);
    check_numbers(more, 1, 5, 3);
    check_numbers(more, 2, 0, CONF_WORKERS_MAX);
    /* An address is the other pool's as soon as its configuration says so, by name or by address. */
    struct wanted *other = one("new", more->listeners[1].addresses[1].text);
    CU_ASSERT_EQUAL(endpoints_fewest(&endpoints, &other->conf, 0), 3);
    struct wanted *same = one("echo", "127.0.0.9:0");
    CU_ASSERT_EQUAL(endpoints_fewest(&endpoints, &same->conf, 0), 2);
    CU_ASSERT_EQUAL(endpoints_numbers(&endpoints, &same->conf, 0), 0);
    end();
    free(wanted);
    free(more);
    free(other);
    free(same);
}

/* ---- a queue that somebody has shut ---- */

static void shut(const struct endpoint *endpoint, unsigned number)
{
    CU_ASSERT_EQUAL(shutdown(endpoint->queues[number], SHUT_RDWR), 0);
    CU_ASSERT(sock_is_shut(endpoint->queues[number]));
}

/* Those of the number that is about to be started, at all addresses of its pool, and no others. */
static void test_reopen(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", path_of("a"));
    add(wanted, "bank", "127.0.0.1:0");
    set_pool(wanted, "bank", 1);
    apply_pools(wanted, 2, 2);
    const struct sock_address *addresses = wanted->listeners[0].addresses, *bank = wanted->listeners[1].addresses;
    const struct endpoint *tcp = endpoints_find(&endpoints, &addresses[0]);
    const struct endpoint *local = endpoints_find(&endpoints, &addresses[1]);
    const struct endpoint *others = endpoints_find(&endpoints, bank);
    shut(tcp, 0);
    shut(tcp, 1);
    shut(local, 0);
    shut(others, 1);
    log_set_level(LOG_LEVEL_FATAL);
    endpoints_reopen(&endpoints, &wanted->conf, 0, 1);
    CU_ASSERT(is_listening(tcp->queues[1]) && !is_listening(tcp->queues[0]) && !is_listening(others->queues[1]));
    CU_ASSERT_EQUAL(backlog_of(tcp->queues[1]), BACKLOG);
    CU_ASSERT_FALSE(sock_is_shut(local->queues[0]));
    CU_ASSERT(answers(&addresses[0]) && answers(&addresses[1]));
    endpoints_reopen(&endpoints, &wanted->conf, 1, 1);
    check_endpoint(bank, 2);
    CU_ASSERT_FALSE(is_listening(tcp->queues[0]));
    endpoints_reopen(&endpoints, &wanted->conf, 0, 0);
    check_endpoint(&addresses[0], 2);
    check_endpoint(&addresses[1], 2);
    end();
    free(wanted);
}

/* Also those of numbers that nobody has any more. */
static void test_listen_again(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", path_of("a"));
    add(wanted, "bank", "127.0.0.1:0");
    apply(wanted, 3);
    for (unsigned i = 0; i < endpoints.count; i++)
        for (unsigned j = 0; j < endpoints.all[i]->count; j++)
            if (endpoints.all[i]->queues[j] >= 0)
                shut(endpoints.all[i], j);
    wanted->listeners[0].backlog = BACKLOG + 3;
    log_set_level(LOG_LEVEL_FATAL);
    endpoints_listen(&endpoints, &wanted->conf);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < wanted->listeners[i].address_count; j++) {
            check_endpoint(&wanted->listeners[i].addresses[j], 3);
            CU_ASSERT(answers(&wanted->listeners[i].addresses[j]));
        }
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(backlog_of(endpoints_find(&endpoints, &wanted->listeners[0].addresses[0])->queues[i]),
                        BACKLOG + 3);
        CU_ASSERT_EQUAL(backlog_of(endpoints_find(&endpoints, &wanted->listeners[1].addresses[0])->queues[i]), BACKLOG);
    }
    end();
    free(wanted);
}

/* Whoever has listed the queues learns that it has to look again; from nothing else than a queue that is another one. */
static bool has_changed(void)
{
    static uint64_t known;
    bool changed = queue_changes() != known;

    known = queue_changes();
    return changed;
}

static void test_changes(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", path_of("a"));
    has_changed();
    apply(wanted, 2);
    CU_ASSERT_TRUE(has_changed());
    apply(wanted, 2);
    apply(wanted, 1);
    CU_ASSERT_FALSE(has_changed());
    apply(wanted, 3);
    CU_ASSERT_TRUE(has_changed());
    const struct endpoint *tcp = endpoints_find(&endpoints, &wanted->listeners[0].addresses[0]);
    const struct endpoint *local = endpoints_find(&endpoints, &wanted->listeners[0].addresses[1]);
    log_set_level(LOG_LEVEL_FATAL);
    endpoints_listen(&endpoints, &wanted->conf);
    CU_ASSERT_FALSE(has_changed());
    shut(local, 0);
    endpoints_reopen(&endpoints, &wanted->conf, 0, 1);
    CU_ASSERT_TRUE(has_changed());
    shut(tcp, 1);
    endpoints_reopen(&endpoints, &wanted->conf, 0, 1); /* the same socket listens again */
    CU_ASSERT_FALSE(has_changed());
    shut(tcp, 0); /* its port, which the kernel had chosen, is lost: another socket is bound to it */
    endpoints_reopen(&endpoints, &wanted->conf, 0, 0);
    CU_ASSERT_TRUE(has_changed());
    struct wanted *fewer = one("echo", path_of("a"));
    apply(fewer, 3);
    CU_ASSERT_TRUE(has_changed());
    CU_ASSERT_EQUAL(unlink(path_of("a") + strlen("unix:")), 0);
    CU_ASSERT_EQUAL(claim(fewer, 3), 0);
    CU_ASSERT_EQUAL(endpoints_renew(&endpoints, &fewer->conf, why, sizeof(why)), 0);
    CU_ASSERT_TRUE(has_changed());
    endpoints_forget_added(&endpoints);
    CU_ASSERT_TRUE(has_changed());
    end();
    CU_ASSERT_TRUE(has_changed());
    free(wanted);
    free(fewer);
}

/* ---- files that others have removed ---- */

static void remove_file(const char *name)
{
    CU_ASSERT_EQUAL(unlink(path_of(name) + strlen("unix:")), 0);
}

static int renew(const struct wanted *wanted)
{
    return endpoints_renew(&endpoints, &wanted->conf, why, sizeof(why));
}

/* A client of before the renewal is still there: it waits in the former queue. */
static void test_renew(void)
{
    begin();
    struct wanted *wanted = one("echo", path_of("a"));
    add(wanted, "echo", path_of("b"));
    add(wanted, "echo", "127.0.0.1:0");
    apply(wanted, 2);
    const struct sock_address *a = &wanted->listeners[0].addresses[0], *b = a + 1;
    const struct endpoint *endpoint = endpoints_find(&endpoints, a);
    int queue = endpoint->queues[0], untouched = endpoints_find(&endpoints, b)->queues[0];
    CU_ASSERT_EQUAL(claim(wanted, 2), 0);
    CU_ASSERT_EQUAL(renew(wanted), 0);
    CU_ASSERT_EQUAL(endpoint->queues[0], queue); /* nothing is missing */
    remove_file("a");
    CU_ASSERT_FALSE(answers(a));
    CU_ASSERT_EQUAL(renew(wanted), 0);
    CU_ASSERT(answers(a));
    CU_ASSERT(endpoint->queues[0] != queue && endpoint->former == queue && is_listening(queue));
    CU_ASSERT_EQUAL(endpoints_find(&endpoints, b)->queues[0], untouched);
    endpoints_forget_added(&endpoints); /* the new configuration has failed elsewhere */
    CU_ASSERT(endpoint->queues[0] == queue && endpoint->former == -1 && !exists("a"));
    CU_ASSERT_EQUAL(claim(wanted, 2), 0);
    CU_ASSERT_EQUAL(renew(wanted), 0);
    endpoints_keep_claimed(&endpoints, &wanted->conf);
    CU_ASSERT(answers(a) && answers(b) && endpoint->former == -1);
    CU_ASSERT(fcntl(queue, F_GETFD) < 0);
    check_endpoint(a, 2);
    end();
    CU_ASSERT_FALSE(exists("a") || exists("b"));
    free(wanted);
}

/* What is not in the new configuration is not made anew, and what cannot be made refuses the configuration. */
static void test_renew_fails(void)
{
    char path[64];

    begin();
    snprintf(path, sizeof(path), "%s/sub", folder);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    struct wanted *before = one("echo", path_of("sub/a")), *after = one("bank", "127.0.0.1:0");
    apply(before, 1);
    remove_file("sub/a");
    CU_ASSERT_EQUAL(rmdir(path), 0);
    CU_ASSERT_EQUAL(claim(after, 1), 0);
    CU_ASSERT_EQUAL(renew(after), 0);
    endpoints_forget_added(&endpoints);
    add(before, "bank", "127.0.0.1:0");
    CU_ASSERT_EQUAL(claim(before, 1), 0);
    CU_ASSERT_EQUAL(renew(before), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "cannot listen on unix:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "sub/a (echo): "));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(ENOENT)));
    CU_ASSERT_EQUAL(endpoints.count, 1); /* and what was bound for it is gone */
    CU_ASSERT_FALSE(answers(&before->listeners[1].addresses[0]));
    end();
    free(before);
    free(after);
}

static char lines[1024];

/* What checking the files writes to the log. */
static const char *warnings(void)
{
    char path[64];
    int status;

    snprintf(path, sizeof(path), "%s/log", folder);
    pid_t pid = fork(); /* whose log it is */
    if (pid == 0) {
        log_set_level(LOG_LEVEL_WARN);
        if (log_open(path) < 0)
            _exit(1);
        endpoints_check_files(&endpoints);
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    lines[fread(lines, 1, sizeof(lines) - 1, file)] = '\0';
    fclose(file);
    unlink(path);
    return lines;
}

static void test_check_files(void)
{
    struct sock_address other;
    int fd;

    begin();
    struct wanted *wanted = one("echo", path_of("a"));
    add(wanted, "bank", path_of("b"));
    add(wanted, "bank", "127.0.0.1:0");
    apply(wanted, 1);
    CU_ASSERT_STRING_EQUAL(warnings(), "");
    remove_file("b");
    CU_ASSERT_PTR_NOT_NULL(strstr(warnings(), "b (bank): its file has been removed, so no client finds this listener"));
    CU_ASSERT_PTR_NULL(strstr(lines, "echo"));
    CU_ASSERT_EQUAL(sock_parse(&other, path_of("b"), why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(sock_listen(&other, 1, &fd, 1), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(warnings(), "b (bank): another server has taken the path, so no client finds"));
    CU_ASSERT_PTR_NULL(strstr(lines, "echo"));
    close(fd);
    end();
    CU_ASSERT(exists("b")); /* it is not ours to remove */
    remove_file("b");
    free(wanted);
}

/* ---- addresses that are about to go ---- */

/* Neither accepted nor refused. */
static bool is_ignored(const struct sock_address *address)
{
    int fd = sock_connect(address);
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    bool ignored = fd >= 0 && poll(&polled, 1, 0) == 0; /* on the loopback, whatever comes is there at once */

    close(fd);
    return ignored;
}

static void test_yield_covered(void)
{
    char any[SOCK_TEXT_SIZE];

    begin();
    struct wanted *before = one("echo", "127.0.0.1:0");
    struct sock_address *covered = before->listeners[0].addresses, *stays = add(before, "echo", "127.0.0.1:0"),
                        *goes = add(before, "echo", "127.0.0.1:0");
    apply(before, 2);
    snprintf(any, sizeof(any), "0.0.0.0:%u", sock_port(covered));
    struct wanted *after = one("echo", stays->text);
    add(after, "echo", any);
    CU_ASSERT_EQUAL(claim(after, 2), 0);
    endpoints_yield_covered(&endpoints);
    if (has_filters())
        CU_ASSERT(is_ignored(covered));
    CU_ASSERT(answers(stays) && answers(goes));
    endpoints_keep_claimed(&endpoints, &after->conf);
    CU_ASSERT(answers(covered) && answers(stays)); /* the wildcard is there for it now */
    CU_ASSERT_FALSE(answers(goes));
    end();
    free(before);
    free(after);
}

static void test_shut_unclaimed(void)
{
    begin();
    struct wanted *before = one("echo", "127.0.0.1:0");
    struct sock_address *stays = before->listeners[0].addresses, *goes = add(before, "echo", "127.0.0.1:0");
    add(before, "echo", path_of("a"));
    apply(before, 3);
    struct wanted *after = one("echo", stays->text);
    CU_ASSERT_EQUAL(claim(after, 3), 0);
    endpoints_shut_unclaimed(&endpoints);
    CU_ASSERT(answers(stays));
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT_FALSE(answers(goes));
    CU_ASSERT_FALSE(answers(&before->listeners[0].addresses[2]));
    check_endpoint(stays, 3);
    end();
    free(before);
    free(after);
}

/* ---- memory ---- */

static bool memory_is_out;

void *reallocarray(void *memory, size_t count, size_t size)
{
    errno = ENOMEM;
    return memory_is_out ? NULL : realloc(memory, count * size);
}

/* A configuration that there is no memory for is refused; what was there serves on. */
static void test_no_memory(void)
{
    begin();
    struct wanted *before = one("echo", "127.0.0.1:0"), *after = one("bank", "127.0.0.1:0");
    apply(before, 1);
    memory_is_out = true;
    CU_ASSERT_EQUAL(claim(after, 1), -1);
    memory_is_out = false;
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "127.0.0.1:0 (bank): "));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, strerror(ENOMEM)));
    CU_ASSERT_EQUAL(endpoints.count, 1);
    CU_ASSERT(answers(&before->listeners[0].addresses[0]));
    end();
    free(before);
    free(after);
}

/* ---- other processes ---- */

static unsigned close_calls;

int close_range(unsigned first, unsigned last, int flags)
{
    close_calls++;
    return (int)syscall(SYS_close_range, first, last, flags);
}

/* How a child ends that closes all queues but some: 0, and with it the descriptor of somebody else. */
static int close_in_child(const struct worker_socket *kept, unsigned count, int other, unsigned calls)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        endpoints_close_others(&endpoints, kept, count);
        for (unsigned i = 0; i < endpoints.count; i++)
            for (unsigned j = 0; j < endpoints.all[i]->count; j++) {
                int queue = endpoints.all[i]->queues[j];
                bool keeps = false;
                for (unsigned k = 0; k < count; k++)
                    keeps |= kept[k].fd == queue;
                if (queue >= 0 && keeps != (fcntl(queue, F_GETFD) >= 0))
                    _exit(1);
            }
        _exit(fcntl(other, F_GETFD) < 0 ? 2 : close_calls > calls ? 3 : 0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    return status;
}

/* Many queues cost few calls, and what lies between them is left alone. */
static void test_close_runs(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, 20);
    int other = dup(0);
    apply(wanted, 40);
    const int *queues = endpoints.all[0]->queues;
    CU_ASSERT_EQUAL(close_in_child(NULL, 0, other, 2), 0);
    const struct worker_socket ends[] = {{.fd = queues[0]}, {.fd = queues[39]}};
    CU_ASSERT_EQUAL(close_in_child(ends, 2, other, 2), 0);
    const struct worker_socket inner[] = {{.fd = queues[19]}, {.fd = queues[7]}, {.fd = queues[8]}};
    CU_ASSERT_EQUAL(close_in_child(inner, 3, other, 3), 0);
    close(other);
    end();
    free(wanted);
}

static void test_close_others(void)
{
    int status;

    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", path_of("a"));
    add(wanted, "echo", "127.0.0.1:0"); /* its address has left the child's configuration */
    apply(wanted, 3);
    const int *tcp = endpoints.all[0]->queues, *local = endpoints.all[1]->queues, *left = endpoints.all[2]->queues;
    const struct worker_socket kept[] = {{.fd = tcp[1]}, {.fd = local[0]}};
    pid_t pid = fork();
    if (pid == 0) {
        endpoints_close_others(&endpoints, kept, 2);
        bool right = fcntl(tcp[0], F_GETFD) < 0 && is_listening(tcp[1]) && fcntl(tcp[2], F_GETFD) < 0 &&
                     is_listening(local[0]);
        for (unsigned i = 0; i < 3; i++)
            right &= fcntl(left[i], F_GETFD) < 0;
        _exit(right ? 0 : 1);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    check_endpoint(&wanted->listeners[0].addresses[0], 3);
    CU_ASSERT(answers(&wanted->listeners[0].addresses[1]));
    end();
    free(wanted);
}

/* What another master would be handed: the same sockets by other numbers. */
static struct endpoints duplicate(void)
{
    struct endpoints copy = {.all = calloc(endpoints.count, sizeof(struct endpoint *)), .count = endpoints.count};

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy.all);
    for (unsigned i = 0; i < copy.count; i++) {
        copy.all[i] = malloc(sizeof(struct endpoint));
        CU_ASSERT_PTR_NOT_NULL_FATAL(copy.all[i]);
        *copy.all[i] = *endpoints.all[i];
        for (unsigned j = 0; j < copy.all[i]->count; j++)
            if (copy.all[i]->queues[j] >= 0)
                copy.all[i]->queues[j] = fcntl(copy.all[i]->queues[j], F_DUPFD_CLOEXEC, 0);
    }
    return copy;
}

static void test_inherit(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", path_of("a"));
    apply(wanted, 2);
    endpoints_inherit(&endpoints);
    CU_ASSERT_EQUAL(fcntl(endpoints.all[0]->queues[0], F_GETFD), 0);
    CU_ASSERT_EQUAL(fcntl(endpoints.all[0]->queues[1], F_GETFD), 0);
    CU_ASSERT_EQUAL(fcntl(endpoints.all[1]->queues[0], F_GETFD), 0);
    end();
    free(wanted);
}

static void test_write_and_read(void)
{
    struct endpoints copy, newer = {0};
    char *text = NULL;
    size_t size;

    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    add(wanted, "echo", "127.0.0.1:0");
    add(wanted, "bank", "[::1]:0");
    add(wanted, "sock", path_of("a"));
    apply(wanted, 3);
    copy = duplicate();
    endpoints_inherit(&copy);
    FILE *out = open_memstream(&text, &size);
    CU_ASSERT_EQUAL(manifest_write(&copy, out), 0);
    fclose(out);
    FILE *in = fmemopen(text, size, "r");
    CU_ASSERT_EQUAL(manifest_read(&newer, in), 0);
    fclose(in);
    CU_ASSERT_EQUAL_FATAL(newer.count, 4);
    for (unsigned i = 0; i < newer.count; i++) {
        const struct endpoint *read = newer.all[i], *written = copy.all[i];
        CU_ASSERT_STRING_EQUAL(read->asked, written->asked);
        CU_ASSERT_STRING_EQUAL(read->listener, written->listener);
        CU_ASSERT(sock_equal(&read->address, &written->address));
        CU_ASSERT_STRING_EQUAL(read->address.text, written->address.text);
        CU_ASSERT_EQUAL(read->count, 3);
        CU_ASSERT_EQUAL(memcmp(read->queues, written->queues, 3 * sizeof(int)), 0);
        for (unsigned j = 0; j < 3; j++)
            if (read->queues[j] >= 0)
                check_queue(read->queues[j]); /* close-on-exec again */
        free(copy.all[i]);
    }
    free(copy.all);
    free(text);

    /* The older one goes, the newer one goes on: with the ports that were chosen, and with one worker more. */
    endpoints_fini(&endpoints, false);
    endpoints = newer;
    struct wanted *again = one("echo", "127.0.0.1:0");
    add(again, "echo", "127.0.0.1:0");
    add(again, "bank", "[::1]:0");
    add(again, "sock", path_of("a"));
    apply(again, 4);
    CU_ASSERT_EQUAL(endpoints.count, 4);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < again->listeners[i].address_count; j++) {
            const struct sock_address *address = &again->listeners[i].addresses[j];
            CU_ASSERT(sock_equal(address, &wanted->listeners[i].addresses[j]));
            check_endpoint(address, 4);
            CU_ASSERT(answers(address));
        }
    end();
    CU_ASSERT_FALSE(exists("a"));
    free(wanted);
    free(again);
}

static void test_write_fails(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, 1);
    FILE *full = fopen("/dev/full", "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(full);
    CU_ASSERT_EQUAL(manifest_write(&endpoints, full), -1);
    fclose(full);
    end();
    free(wanted);
}

static void test_read_nothing(void)
{
    FILE *in = fopen("/dev/null", "r");

    begin();
    CU_ASSERT_EQUAL(manifest_read(&endpoints, in), 0);
    CU_ASSERT_EQUAL(endpoints.count, 0);
    fclose(in);
    open_before--;
    end();
}

/* In a process of its own, as descriptors may be closed that are not there, or not ours. */
static void check_garbage(const char *text)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct endpoints newer = {0};
        FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
        errno = 0;
        if (!in || manifest_read(&newer, in) != -1)
            _exit(1);
        if (errno == 0)
            _exit(2);
        endpoints_fini(&newer, false);
        for (int fd = 0; fd <= 2; fd++)
            if (fcntl(fd, F_GETFD) < 0)
                _exit(3);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    if (status != 0) {
        printf("\nstatus %#x: %s\n", (unsigned)status, text);
        CU_FAIL("a manifest that is none");
    }
}

/* An endpoint whose line goes on after its first fields like this: "%" stands for the number of an open socket. */
static void check_garbage_after(const char *fields, int fd)
{
    char text[256], *out = text;

    out += sprintf(out, "127.0.0.1:0\techo\t");
    for (; *fields; fields++)
        out += *fields == '%' ? sprintf(out, "%d", fd) : sprintf(out, "%c", *fields);
    check_garbage(text);
}

static void test_garbage_numbers(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, 1);
    int good = endpoints.all[0]->queues[0], pipes[2];
    CU_ASSERT_EQUAL(pipe2(pipes, O_CLOEXEC), 0);
    check_garbage("127.0.0.1:0\techo\n");
    check_garbage("127.0.0.1:0\techo\tx\n");
    check_garbage("127.0.0.1:0\techo\t0\n");
    check_garbage("127.0.0.1:0\techo\t1\n");
    check_garbage("127.0.0.1:0\techo\t1\tx\n");
    check_garbage("127.0.0.1:0\techo\t1\t-1\n");
    check_garbage("127.0.0.1:0\techo\t1\t999\n");
    check_garbage_after("1\t%\n", pipes[0]);
    int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_garbage_after("1\t%\n", idle); /* nobody listens there */
    close(idle);
    check_garbage_after("2\t%\t999\n", good);
    close(pipes[0]);
    close(pipes[1]);
    end();
    free(wanted);
}

/* And what has been read until then can be given up. */
static void test_garbage_counts(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, 1);
    int good = endpoints.all[0]->queues[0];
    check_garbage_after("3\t%\n", good);
    check_garbage_after("1025\t%\n", good);
    check_garbage_after("4294967295\t%\n", good);
    check_garbage_after("-1\t%\n", good);
    end();
    free(wanted);
}

static void test_garbage_lines(void)
{
    begin();
    struct wanted *wanted = one("echo", "127.0.0.1:0");
    apply(wanted, 1);
    int good = endpoints.all[0]->queues[0];
    check_garbage("garbage");
    check_garbage("garbage\n");
    check_garbage("\n");
    check_garbage_after("1\t%\ngarbage\n", good);
    check_garbage_after("1\t%\t%\n", good);
    check_garbage_after("1\t% extended\n", good);
    end();
    free(wanted);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"claim", test_claim},
        {"other numbers", test_other_numbers},
        {"other addresses", test_other_addresses},
        {"forget added", test_forget_added},
        {"refused", test_refused},
        {"backlog", test_backlog},
        {"port 0 again", test_port_0_again},
        {"port 0 of others", test_port_0_of_others},
        {"unix", test_unix},
        {"unix, refused", test_unix_refused},
        {"pools", test_pools},
        {"reopen", test_reopen},
        {"listen again", test_listen_again},
        {"changes", test_changes},
        {"renew", test_renew},
        {"renew fails", test_renew_fails},
        {"check files", test_check_files},
        {"yield covered", test_yield_covered},
        {"shut unclaimed", test_shut_unclaimed},
        {"no memory", test_no_memory},
        {"close runs", test_close_runs},
        {"close others", test_close_others},
        {"inherit", test_inherit},
        {"write and read", test_write_and_read},
        {"write fails", test_write_fails},
        {"read nothing", test_read_nothing},
        {"garbage: numbers", test_garbage_numbers},
        {"garbage: counts", test_garbage_counts},
        {"garbage: lines", test_garbage_lines},
        {0},
    };
    closefrom(3); /* so that the numbers of queues follow each other */
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    int result = unit_main("endpoint", tests);
    rmdir(folder);
    return result;
}
