#include "bench/peers/peer.h"
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

void peer_usage(const char *arguments)
{
    fprintf(stderr, "usage: %s %s\n", program_invocation_short_name, arguments);
    exit(PEER_USAGE);
}

struct sockaddr_in peer_address(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *end;
    unsigned long number = strtoul(port, &end, 10);

    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || end == port || *end || number < 1 || number > 65535) {
        fprintf(stderr, "%s: no address: %s %s\n", program_invocation_short_name, host, port);
        exit(PEER_USAGE);
    }
    address.sin_port = htons((uint16_t)number);
    return address;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int peer_listen(const struct sockaddr_in *address)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    raise_descriptor_limit();
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 || /* accepted sockets inherit it */
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) == -1 || listen(fd, BACKLOG) == -1)
        err(EXIT_FAILURE, "cannot listen on port %u", ntohs(address->sin_port));
    return fd;
}

void peer_set_nodelay(int fd)
{
    const int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void terminate(int number)
{
    (void)number;
    _exit(EXIT_SUCCESS);
}

void peer_ready(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, terminate);
    puts("ready");
    fflush(stdout);
}
