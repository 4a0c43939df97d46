/*
 * The guardian: the process that somebody started and waits for, once another binary has taken over from it. A
 * container ends with its PID 1; runit, s6 and a shell know nobody but their child. So that process stays when its
 * sessions have drained, small, until the server ends:
 *
 *   supervisor --- guardian --- master in charge --- workers          signals go down, the exit code comes up
 *                     ^                |
 *                     '---- its pid ---'  over a socket that each master hands on to the next one
 *
 * Masters between the first one and the one in charge leave when they have drained. Their children become those of the
 * guardian (PR_SET_CHILD_SUBREAPER), so that it sees every end. With a service manager that follows MAINPID=, or in the
 * background (-d), nobody waits for the first process, and there is no guardian.
 */
#ifndef MASTER_GUARDIAN_H
#define MASTER_GUARDIAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

struct guardian {
    bool stays;     /* this process was started first, and somebody waits for it */
    int receive_fd; /* the guardian's end of the socket; -1: no binary has taken over from it yet */
    int send_fd;    /* the masters' end; -1: there is no guardian */
    pid_t pid;      /* of the guardian; 0: this process is it, or there is none */
    bool unsent;    /* the socket had no room for the report that this master is in charge */
    uint64_t since; /* clock ticks since boot; processes started before the first upgrade are not ours */
    int code;       /* exit code of the last master in charge that has ended, as the guardian passes it on */
};

/* Decide, in a process that no upgrade has started, whether it stays. */
void guardian_decide(struct guardian *guardian, bool daemon);

/*
 * Around the fork of a candidate: have a socket that it can inherit (0, or -1 with errno); hand it on, in the child;
 * close our copy when the successor is in charge. Or it has failed, and this master is in charge still, or again.
 */
int guardian_open(struct guardian *guardian);
int guardian_hand_on(const struct guardian *guardian);
void guardian_handed_over(struct guardian *guardian);
void guardian_resume(struct guardian *guardian);

/* Close both ends, which a worker has no use for. */
void guardian_close(struct guardian *guardian);

/* In a candidate: take what was handed on, if anything was. */
void guardian_inherit(struct guardian *guardian);

/* Report to the guardian that signals are for this process from now on; sent again at each tick until it could be. */
void guardian_report(struct guardian *guardian);
void guardian_tick(struct guardian *guardian);

/* The terminal has sent it to its whole foreground process group: passed on, it would arrive twice. */
bool guardian_has_reached_all(const struct signalfd_siginfo *info);

/* The guardian has passed it on. */
bool guardian_has_sent(const struct guardian *guardian, const struct signalfd_siginfo *info);

/*
 * Somebody has signalled the whole process group: the same signal comes from him and from the guardian. True for the
 * second one, which is to be ignored: two SIGTERMs mean something else than one.
 */
bool guardian_repeats(const struct guardian *guardian, const struct signalfd_siginfo *info);

/* The master in charge has ended (`status` as from waitpid()) while this one still drains. */
void guardian_note_end(struct guardian *guardian, int status);

/*
 * Be the guardian of the master in charge (0: it has ended) until it, and all that it leaves behind, is gone. Returns
 * its exit code; 128 and the number of the signal if it was killed, as shells and containers have it.
 */
int guardian_run(struct guardian *guardian, int signal_fd, pid_t in_charge);

#endif
