#include "common/sock.h"
#include "common/log.h"
#include "common/unix_listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

/* ---- text ---- */

static int fail(char *why, size_t why_size, const char *sentence)
{
    strlcpy(why, sentence, why_size);
    return -1;
}

static int parse_unix(struct sock_address *address, const char *path, char *why, size_t why_size)
{
    if (path[0] != '/')
        return fail(why, why_size, "a unix address is unix:/PATH");
    if (path[strlen(path) - 1] == '/')
        return fail(why, why_size, "the path of the unix socket is that of a folder");
    address->local.sun_family = AF_UNIX;
    if (strlcpy(address->local.sun_path, path, sizeof(address->local.sun_path)) >= sizeof(address->local.sun_path))
        return fail(why, why_size, "the path of the unix socket is too long");
    address->size = sizeof(address->local);
    return 0;
}

/* "host" and "port" of "host:port" or "[host]:port", copied. */
static int split(const char *text, char *host, size_t host_size, const char **port)
{
    const char *begin = text, *end = strrchr(text, ':');

    if (!end || end == text)
        return -1;
    *port = end + 1;
    if (text[0] == '[') {
        if (end[-1] != ']')
            return -1;
        begin++;
        end--;
    } else if (memchr(text, ':', (size_t)(end - text))) {
        return -1; /* an IPv6 address without its brackets */
    }
    size_t size = (size_t)(end - begin);
    if (size == 0 || size >= host_size)
        return -1;
    memcpy(host, begin, size);
    host[size] = '\0';
    return 0;
}

/*
 * Digits need no name server; between brackets only an IPv6 address stands. 0, or an error of getaddrinfo(): EAI_NONAME
 * when `host` is no address in numbers.
 */
static int parse_numeric(struct sock_address *address, const char *host, const char *port, bool bracketed)
{
    struct addrinfo hints = {.ai_family = bracketed ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;

    int error = getaddrinfo(host, port, &hints, &found);

    if (error)
        return error;
    address->size = found->ai_addrlen;
    memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

/* A name does not end in a number, so that nobody is asked for a mistyped address. */
static bool may_be_name(const char *host)
{
    const char *dot = strrchr(host, '.'), *last = dot ? dot + 1 : host;

    return last[strspn(last, "0123456789")] != '\0' || *last == '\0';
}

int sock_parse(struct sock_address *address, const char *text, char *why, size_t why_size)
{
    struct sock_address parsed = {0};
    char host[SOCK_TEXT_SIZE];
    const char *port;

    if (strlcpy(parsed.text, text, sizeof(parsed.text)) >= sizeof(parsed.text))
        return fail(why, why_size, "the address is too long");
    if (strncmp(text, "unix:", 5) == 0) {
        if (parse_unix(&parsed, text + 5, why, why_size) < 0)
            return -1;
        *address = parsed;
        return 0;
    }
    if (split(text, host, sizeof(host), &port) < 0)
        return fail(why, why_size, "an address is ADDR:PORT, [ADDR6]:PORT, NAME:PORT or unix:/PATH");
    size_t digits = strspn(port, "0123456789");
    unsigned number = 0;
    if (digits == 0 || digits > 5 || port[digits] != '\0' || sscanf(port, "%u", &number) != 1 || number > 65535)
        return fail(why, why_size, "the port must be 0 to 65535");
    int error = parse_numeric(&parsed, host, port, text[0] == '[');
    if (error == EAI_MEMORY)
        return fail(why, why_size, "out of memory");
    if (error) {
        if (text[0] == '[' || !may_be_name(host)) {
            snprintf(why, why_size, "'%s' is no IPv%d address", host, text[0] == '[' ? 6 : 4);
            return -1;
        }
        parsed.inet.four.sin_port = htons((uint16_t)number);
    }
    *address = parsed;
    return 0;
}

bool sock_is_unresolved(const struct sock_address *address)
{
    return address->size == 0;
}

char *sock_host(const struct sock_address *address, char *host, size_t host_size)
{
    const char *port;

    if (address->any.sa_family == AF_UNIX || split(address->text, host, host_size, &port) < 0)
        host[0] = '\0';
    return host;
}

unsigned sock_count(const struct sock_address *address)
{
    return sock_is_unresolved(address) ? 0 : 1 + address->more_count;
}

struct sock_address sock_nth(const struct sock_address *address, unsigned n)
{
    struct sock_address nth = {.size = address->size};

    if (n == 0) {
        nth.storage = address->storage;
    } else {
        nth.inet = address->more[n - 1];
        nth.size = nth.any.sa_family == AF_INET6 ? sizeof(nth.inet.six) : sizeof(nth.inet.four);
    }
    return nth;
}

char *sock_format(const struct sockaddr *address, socklen_t size, char *text, size_t text_size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (size >= sizeof(sa_family_t) && address->sa_family == AF_UNIX)
        snprintf(text, text_size, "unix:%.*s", (int)(size - offsetof(struct sockaddr_un, sun_path)),
                 ((const struct sockaddr_un *)address)->sun_path);
    else if (getnameinfo(address, size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        strlcpy(text, "unknown", text_size);
    else
        snprintf(text, text_size, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return text;
}

unsigned sock_port(const struct sock_address *address)
{
    if (address->any.sa_family == AF_UNIX)
        return 0;
    if (address->any.sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
}

bool sock_is_wildcard(const struct sock_address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&address->storage)->sin6_addr);
    return address->any.sa_family == AF_INET &&
           ((const struct sockaddr_in *)&address->storage)->sin_addr.s_addr == INADDR_ANY;
}

bool sock_same(const struct sock_address *a, const struct sock_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_UNIX)
        return strcmp(a->local.sun_path, b->local.sun_path) == 0;
    if (sock_port(a) == 0 || sock_port(a) != sock_port(b))
        return false;
    if (a->any.sa_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)&a->storage;
        const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)&b->storage;
        return IN6_IS_ADDR_UNSPECIFIED(&x->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&y->sin6_addr) ||
               (IN6_ARE_ADDR_EQUAL(&x->sin6_addr, &y->sin6_addr) && x->sin6_scope_id == y->sin6_scope_id);
    }
    in_addr_t x = ((const struct sockaddr_in *)&a->storage)->sin_addr.s_addr;
    in_addr_t y = ((const struct sockaddr_in *)&b->storage)->sin_addr.s_addr;
    return x == y || x == INADDR_ANY || y == INADDR_ANY;
}

bool sock_equal(const struct sock_address *a, const struct sock_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_UNIX)
        return strcmp(a->local.sun_path, b->local.sun_path) == 0;
    return a->size == b->size && memcmp(&a->storage, &b->storage, a->size) == 0;
}

/* ---- listening ---- */

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int set_option(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on));
}

/* Close and return -1, with errno as it was. */
static int close_failed(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
    return -1;
}

/*
 * The first socket of an address listens without SO_REUSEPORT, so that it fails when anybody listens there, and gets it
 * afterwards, so that the others of the group can follow. If it got it between bind() and listen(), two servers of the
 * same user that start at the same moment would both succeed.
 */
static int listen_tcp(const struct sock_address *address, int backlog, bool first)
{
    int fd = new_socket(address->any.sa_family);

    if (fd < 0)
        return -1;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) < 0 || (!first && set_option(fd, SOL_SOCKET, SO_REUSEPORT) < 0) ||
        (address->any.sa_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) < 0) ||
        bind(fd, &address->any, address->size) < 0 || listen(fd, backlog) < 0 ||
        (first && set_option(fd, SOL_SOCKET, SO_REUSEPORT) < 0))
        return close_failed(fd);
    return fd;
}

int sock_listen_more(const struct sock_address *address, int backlog)
{
    return listen_tcp(address, backlog, false);
}

static int listen_group(struct sock_address *address, int backlog, int *fds, unsigned count, bool alone)
{
    fds[0] = listen_tcp(address, backlog, alone);
    if (fds[0] < 0)
        return -1;
    if (sock_port(address) == 0) {
        if (getsockname(fds[0], &address->any, &address->size) < 0)
            return -1;
        sock_format(&address->any, address->size, address->text, sizeof(address->text));
    }
    for (unsigned i = 1; i < count; i++) {
        fds[i] = listen_tcp(address, backlog, false);
        if (fds[i] < 0)
            return -1;
    }
    return 0;
}

static int listen_tcp_group(struct sock_address *address, int backlog, int *fds, unsigned count, bool alone)
{
    struct sock_address before = *address;

    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    if (listen_group(address, backlog, fds, count, alone) == 0)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close_failed(fds[i]);
        fds[i] = -1;
    }
    *address = before;
    return -1;
}

int sock_listen(struct sock_address *address, int backlog, int *fds, unsigned count)
{
    struct file_id id;

    if (address->any.sa_family != AF_UNIX)
        return listen_tcp_group(address, backlog, fds, count, true);
    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    fds[0] = unix_listen(address->local.sun_path, backlog, &UNIX_ACCESS_DEFAULT, &id);
    return fds[0] < 0 ? -1 : 0;
}

int sock_listen_beside(struct sock_address *address, int backlog, int *fds, unsigned count)
{
    return listen_tcp_group(address, backlog, fds, count, false);
}

bool sock_is_shut(int fd)
{
    struct pollfd queue = {.fd = fd, .events = POLLRDHUP};

    return poll(&queue, 1, 0) == 1 && queue.revents & (POLLRDHUP | POLLHUP);
}

bool sock_is_listening(int fd)
{
    int listening = 0;
    socklen_t size = sizeof(listening);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

void sock_drop_newcomers(int fd)
{
    /* if (tcp.flags & SYN) drop; else keep */
    static struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof(drop_syn) / sizeof(drop_syn[0]), .filter = drop_syn};

    /* Where the kernel cannot do that, somebody may be reset: nothing that could be done about it here. */
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
        log_debug("SO_ATTACH_FILTER: %s", strerror(errno));
}

/* ---- connections ---- */

int sock_connect(const struct sock_address *address)
{
    if (sock_is_unresolved(address)) {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = new_socket(address->any.sa_family);

    if (fd < 0)
        return -1;
    if (connect(fd, &address->any, address->size) < 0 && errno != EINPROGRESS)
        return close_failed(fd);
    return fd;
}

bool sock_is_self_connected(int fd, unsigned port)
{
    union sock_inet ours = {.six = {0}}, theirs = {.six = {0}};
    socklen_t size = sizeof(ours), theirs_size = sizeof(theirs);

    /* The port alone says no nearly always. It has the same place in both families. */
    if (getsockname(fd, &ours.any, &size) < 0 || ntohs(ours.four.sin_port) != port)
        return false;
    return getpeername(fd, &theirs.any, &theirs_size) == 0 && size == theirs_size && memcmp(&ours, &theirs, size) == 0;
}

int sock_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

void sock_set_nodelay(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
}
