/*
 * Places of answers that come later, see session_reply().
 *
 *   more.first_reply -> reply -> reply -> ... last_reply       the order in which the client is answered
 *                       what is sent to it goes out at once
 *                                what is sent to the others is kept until it is their turn
 */
#ifndef WORKER_REPLY_H
#define WORKER_REPLY_H

#include "worker/core/session.h"

/* Where to put what is to be sent behind all places that are reserved now; NULL when the session ends for want of
 * memory. */
struct segment_list *reply_behind(struct session *session);

/* The session has ended, or answers nothing more: its places are nobody's. */
void reply_forget_all(struct session *session);

#endif
