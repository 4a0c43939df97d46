/*
 * Commands of an operator that look at the memory of the masters.
 */
#ifndef CONTROL_LOOK_H
#define CONTROL_LOOK_H

#include "worker/services/control/conversation.h"

run look_at, look_at_log, look_at_next_of_log, look_at_config;

#endif
