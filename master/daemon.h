/*
 * The way to the background (-d). The parent returns to the shell when the workers are ready, so that "it started" is
 * true when it says so.
 */
#ifndef MASTER_DAEMON_H
#define MASTER_DAEMON_H

/* What the child tells the parent, in a byte. */
enum daemon_word { DAEMON_NOT_READY, DAEMON_READY, DAEMON_HAS_REPORTED };

/*
 * Go on in a child, in a session of its own: returns 0 there, or -1 with errno. The parent waits for the child's word
 * and exits. To be called before anything is named after our pid. Standard error stays until daemon_detach(): what
 * prevents the start is still said there.
 */
int daemon_fork(void);
void daemon_detach(void);

/* Tell the parent, once; nothing happens where none waits. */
void daemon_report(enum daemon_word word);

/* In a worker: the parent does not wait for it. */
void daemon_close(void);

#endif
