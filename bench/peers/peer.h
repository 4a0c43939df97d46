/*
 * What all peers do before their loop. A peer is the smallest honest server on some foundation: what ccserver is
 * compared with. It takes HOST PORT, prints "ready" when it listens, and runs until SIGTERM.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <netinet/in.h>
#include <stdbool.h>

enum { PEER_USAGE = 64 };

/* Parse two arguments, numeric; wrong ones end the program with one line and exit code 64. */
struct sockaddr_in peer_address(const char *host, const char *port);

/* A listening socket, non-blocking. Failure ends the program. Also allows as many descriptors as the system does. */
int peer_listen(const struct sockaddr_in *address);

void peer_set_nodelay(int fd);

/* Tell whoever started us. From here on SIGTERM ends the program with exit code 0. */
void peer_ready(void);

/* Print "PROGRAM: usage: PROGRAM `arguments`" and exit with 64. */
_Noreturn void peer_usage(const char *arguments);

#endif
