/*
 * The directory for what belongs to a running server: the sockets of control listeners that have no `bind`.
 */
#ifndef MASTER_CONF_RUNTIME_H
#define MASTER_CONF_RUNTIME_H

#include "master/conf/reader.h"

/*
 * Give listeners without an address, whose service operates, a unix socket of their name in `runtime_dir`; by default
 * that is RUNTIME_DIRECTORY, as the service manager sets it, or /run/ccserver for root, or ccserver in
 * XDG_RUNTIME_DIR, or /tmp/ccserver-UID. Others are an error. When all sections have been read.
 */
void runtime_bind(struct conf_reader *reader);

#endif
