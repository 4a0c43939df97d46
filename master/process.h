/*
 * Child processes: started with a control pipe, and reaped.
 */
#ifndef MASTER_PROCESS_H
#define MASTER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Fork a child that runs `run(user, channel)`, with its end of a control pipe, and exits with what that returns. Stores
 * our end in `*channel` and returns the child's pid, or -1 with errno and nothing done.
 */
pid_t process_start(int (*run)(void *user, int channel), void *user, int *channel);

/* Reap every child that has died, and hand its pid and its status, as from waitpid(), to `ended`. */
void process_reap(void (*ended)(void *user, pid_t pid, int status), void *user);

enum process_end {
    PROCESS_LIVES,
    PROCESS_ENDED, /* reaped, with a status */
    PROCESS_GONE,  /* somebody else has had its status */
};

/*
 * Look for the end of one child, whose SIGCHLD may have gone astray. `has_pipe`: its control pipe is still open. A
 * process that is no child of ours any more is gone if its pipe has ended, or if there is no such process at all.
 */
enum process_end process_check(pid_t pid, bool has_pipe, int *status);

#endif
