/*
 * The pid file names the master in charge and is locked by it, also while one takes over from another.
 */
#ifndef MASTER_PID_H
#define MASTER_PID_H

#include "common/file.h"
#include <stddef.h>
#include <sys/types.h>

struct pid_file;

/* The other master of an upgrade. */
struct pid_other {
    pid_t pid;           /* 0: there is none */
    struct file_id file; /* its pid file, whatever stands in it by now; zeroed: it has not said which that is */
};

/*
 * Put a file with our pid in place at `path`, locked, in place of `*own` (NULL: none yet) or that of `other`. Returns
 * 0, or -1 with a sentence in `error` (which names the pid of another master that has it) and everything as it was.
 * pid_check() finds out whether pid_replace() would succeed, and changes nothing. An empty path: there is no pid file,
 * and nothing happens.
 */
int pid_replace(struct pid_file **own, const char *path, const struct pid_other *other, char *error, size_t error_size);
int pid_check(const struct pid_file *own, const char *path, const struct pid_other *other, char *error,
              size_t error_size);

/* Which file it is, for the other master; zeroed: there is none. */
struct file_id pid_file_id(const struct pid_file *own);

/* Let go of it, as it stands. pid_remove(): remove it, too, unless another master has put its own in its place. */
void pid_close(struct pid_file **own);
void pid_remove(struct pid_file **own, const char *path);

#endif
