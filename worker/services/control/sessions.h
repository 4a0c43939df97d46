/*
 * Commands of an operator about the sessions of all workers.
 */
#ifndef CONTROL_SESSIONS_H
#define CONTROL_SESSIONS_H

#include "worker/services/control/conversation.h"

run sessions_list, sessions_kill;

#endif
