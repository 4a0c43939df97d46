/*
 * A change of the binary while it serves. handover.h decides, upgrade.c carries out and draws the words.
 */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include "master/conf/conf.h"
#include "master/handover.h"
#include "master/pid.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

struct master;

/* The other master, while a binary takes over from another: the predecessor, or the candidate and later successor. */
enum { UPGRADE_POOLS_SIZE = 640 };

struct upgrade {
    enum handover_state state; /* who is in charge */
    int channel;               /* to the other master; -1: there is none, or it has closed its end */
    pid_t pid;                 /* of the other master; 0: there is none */
    struct file_id pid_file;   /* of the predecessor, as it has said */
    uint64_t due_ms;           /* real time until which a predecessor waits for the candidate; 0: it does not */
    /* Of this candidate's predecessor: "main,ledger!", those with a mark are single; "": it is too old to know any. */
    char pools[UPGRADE_POOLS_SIZE];
    uint64_t alive_due_ms;     /* real time until which this candidate need not say that its workers still start */
    unsigned workers;          /* of this candidate that have been READY at a time */
    char error[512];           /* the candidate has failed */
    int status;                /* with which the successor has ended, as from waitpid() */
    unsigned unsent;           /* set of enum upgrade_word: what could not be sent yet */
    uint64_t receive_again_ms; /* real time; until then the channel is left alone, since reading from it has failed */
};

/* SIGUSR2: start the binary that is on disk now, with our sockets. */
void upgrade_start(struct master *master);

/* In a candidate: all its workers are READY but those of single pools: the predecessor is asked, once, to let its own go.
 */
void upgrade_report_others_ready(struct master *master);

/*
 * This master has been told to stop, or none of its workers can run: a candidate is killed. A predecessor is told of
 * the first, so that it does not serve again, but not of the second, so that it does.
 */
void upgrade_stop(struct master *master, bool at_once);
void upgrade_break_down(struct master *master);

/* Pass on what is the business of the master in charge, if that is the other one. */
void upgrade_pass_hup(const struct upgrade *upgrade);
bool upgrade_pass_shutdown(struct upgrade *upgrade);

/*
 * The same for signals, in a process that stays as the guardian, or that the guardian takes for the one in charge since
 * it has not heard of the change yet. True when there is nothing more to be done with this one.
 */
bool upgrade_pass_signal(struct master *master, const struct signalfd_siginfo *info);

/* Receive words of the other master when the descriptor can be read; check at each tick whether it is silent too long.
 */
int upgrade_poll_fd(const struct upgrade *upgrade);
void upgrade_receive(struct master *master);
void upgrade_tick(struct master *master);

/* A child has been reaped. False when it was not the other master. */
bool upgrade_reaped(struct master *master, pid_t pid, int status);

#endif
