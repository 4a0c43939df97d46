/*
 * When something is to be done about a session though nothing happens to it: it is idle, an answer has not come, a
 * timer of its service is due, a deadline of one of its connections has passed, or its worker leaves.
 *
 * One timer of the wheel serves all of them: it is filed for the earliest and, since activity only stamps the session,
 * may go off too early; then it is filed anew.
 */
#ifndef WORKER_DEADLINE_H
#define WORKER_DEADLINE_H

#include "worker/core/session.h"

/* File the timer for the earliest deadline, if it is earlier than what it is filed for. */
void deadline_arm(struct session *session);

/* timer.expired of a session */
void deadline_expired(struct timer_wheel *wheel, struct timer *timer);

#endif
