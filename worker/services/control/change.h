/*
 * Commands of an operator that change something: the master is asked, and then it is watched what comes of it.
 */
#ifndef CONTROL_CHANGE_H
#define CONTROL_CHANGE_H

#include "worker/services/control/conversation.h"

run change_reload, change_upgrade, change_resize, change_restart, change_drain, change_by_name, change_set;

/* Look what has come of it, at the timer WATCH. */
void change_watch(struct session *session);

#endif
