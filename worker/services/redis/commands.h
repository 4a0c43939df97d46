/*
 * Which commands of Redis can share a connection with those of other clients: whose whole effect and answer do not depend on
 * the connection that they come by. What is not in the table is none of them.
 */
#ifndef REDIS_COMMANDS_H
#define REDIS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

enum command_kind {
    COMMAND_PRIVATE,  /* it needs a connection of its own, or nobody knows */
    COMMAND_READ,     /* shared; may be sent twice */
    COMMAND_WRITE,    /* shared; may not be sent twice */
    COMMAND_BLOCKING, /* shared within a transaction, where it does not block */
    COMMAND_MULTI,    /* begins a transaction, which shares when all of it is there */
    COMMAND_EXEC,     /* ends one; also DISCARD */
    COMMAND_WATCH,    /* binds a transaction that is still to come to the connection */
    COMMAND_UNWATCH,
    COMMAND_SELECT, /* these choose among the shared connections: */
    COMMAND_AUTH,
    COMMAND_HELLO,
    COMMAND_RESET,
    COMMAND_CLIENT, /* it depends on the second word */
    COMMAND_QUIT,   /* answered here */
};

/* Prepare the table, before it is asked. */
void commands_start(void);

/* Of the command with this name, in small or capital letters. */
enum command_kind command_kind(const char *name, size_t size);

#endif
