/*
 * The pid file names the master in charge and is locked by it, also while one takes over from another.
 */
#ifndef MASTER_PID_H
#define MASTER_PID_H

#include <stddef.h>
#include <sys/types.h>

struct pid_file;

/*
 * Put a file with our pid in place at `path`, locked, in place of `*own` (NULL: none yet) or that of the other master
 * of an upgrade (`other`; 0: none). Returns 0, or -1 with a sentence in `error` (which names the pid of another master
 * that has it) and everything as it was. pid_check() finds out whether pid_replace() would succeed, and changes
 * nothing. An empty path: there is no pid file, and nothing happens.
 */
int pid_replace(struct pid_file **own, const char *path, pid_t other, char *error, size_t error_size);
int pid_check(const struct pid_file *own, const char *path, pid_t other, char *error, size_t error_size);

/* Let go of it, as it stands. pid_remove(): remove it, too, unless another master has put its own in its place. */
void pid_close(struct pid_file **own);
void pid_remove(struct pid_file **own, const char *path);

#endif
