/*
 * What an operator asks for through a control service: its worker sends a request (common/request.h) over the control
 * pipe, and is answered at once. No client is heard here, nor waited for.
 */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include "master/master.h"

/* Do it, or note it in `requests`, or refuse it; and answer `slot`, whose worker has asked. */
void control_carry_out(struct master *master, struct slot *slot, const struct request *request);

#endif
