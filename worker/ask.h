/*
 * What the operators of a control service ask of the master: requests that wait for the control pipe, and for their
 * answers. They are few, and each is answered in its own turn.
 *
 *   admin_ask() --> waiting --- ask_send() ---> sent ... CHANNEL_ANSWER --- ask_answered() ---> `answered`
 */
#ifndef WORKER_ASK_H
#define WORKER_ASK_H

#include "common/request.h"
#include <stdint.h>

enum { ASKS_MAX = 128 }; /* the control pipe has room for so many requests, and for their answers */

/* How many requests are still to be sent. */
extern unsigned asks_waiting;

/* Send what can be sent now; once in each turn. */
void ask_send_waiting(int channel);

static inline void ask_send(int channel)
{
    if (asks_waiting > 0)
        ask_send_waiting(channel);
}

/* The master has answered. `fd`, which comes along, is owned by whoever has asked; -1: none. */
void ask_answered(const struct request_answer *answer, int fd);

#endif
