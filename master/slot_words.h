/*
 * What a worker is told over its control pipe. What the pipe does not take is kept as a state, not as a queue, and sent
 * again at every tick until the process is gone: a log to be opened anew, addresses to refuse, what an operator has
 * changed since the process was told last, and the end. Answers and inspections are not kept: who asks asks again.
 */
#ifndef MASTER_SLOT_WORDS_H
#define MASTER_SLOT_WORDS_H

#include "master/slot.h"

/* Send a message. False when it must be sent again; true also when the process is gone. */
bool slot_send(const struct slot *slot, enum channel_type type, uint32_t value);

/* Send what is still to be said. */
void slot_send_words(const struct slot_context *context, struct slot *slot);

/* Have it reopen its log; have it close the address with this index when it drains. Sent again until it could be. */
void slot_send_reopen_log(struct slot_context *context, struct slot *slot);
void slot_send_refuse(struct slot_context *context, struct slot *slot, uint32_t index);

/* Have it drain, for the rest of its time. */
void slot_send_drain(const struct slot_context *context, struct slot *slot);

/* Answer what a worker has asked, with a descriptor unless `fd` is -1. One that does not read its pipe is not told. */
void slot_answer(const struct slot *slot, const struct request_answer *answer, int fd);

/* Give the worker a connection to whoever asks for its sessions. False when it could not be told. */
bool slot_send_inspect(const struct slot *slot, int fd);

#endif
