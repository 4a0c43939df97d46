#include "common/sock_table.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

/* One line of /proc/net/tcp or tcp6. An address is printed in words of 32 bits, each in the order of this machine. */
static bool parse_line(const char *line, struct sock_address *address, unsigned *state, unsigned long *inode)
{
    char digits[33];
    unsigned port, words[4];

    if (sscanf(line, " %*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", digits, &port, state, inode) !=
        4)
        return false;
    int count = sscanf(digits, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]);
    *address = (struct sock_address){0};
    if (count == 1) {
        struct sockaddr_in *four = (struct sockaddr_in *)&address->storage;
        *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        memcpy(&four->sin_addr, words, sizeof(four->sin_addr));
    } else if (count == 4) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->storage;
        *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        memcpy(&six->sin6_addr, words, sizeof(six->sin6_addr));
    }
    return count == 1 || count == 4;
}

bool sock_has_strangers(const struct sock_address *address, bool (*is_ours)(const void *user, ino_t inode),
                        const void *user)
{
    FILE *table = fopen(address->any.sa_family == AF_INET6 ? "/proc/net/tcp6" : "/proc/net/tcp", "re");
    char line[256];
    bool found = !table;
    struct sock_address other;
    unsigned state;
    unsigned long inode;

    while (!found && fgets(line, sizeof(line), table)) {
        if (!parse_line(line, &other, &state, &inode))
            continue; /* the header */
        if (state != TCP_LISTEN)
            break; /* those that listen come first */
        found = sock_same(&other, address) && !is_ours(user, inode);
    }
    if (table)
        fclose(table);
    return found;
}
