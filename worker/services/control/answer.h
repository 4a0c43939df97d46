/*
 * The answer to a command: lines that begin with a blank, then one that does not, and whose first word says how it
 * ended.
 *
 *     4711-9-1f2e0   main    redis ...
 *    done
 */
#ifndef CONTROL_ANSWER_H
#define CONTROL_ANSWER_H

#include "worker/session.h"
#include <stddef.h>

/* How it ended; ccserverctl makes its exit code of it. */
enum answer_end { ANSWER_DONE, ANSWER_REFUSED, ANSWER_DENIED, ANSWER_MISUSED };

/* Send the lines of `text`, which ends with LF unless it is empty. */
void answer_lines(struct reply *reply, const char *text, size_t size);

/* Send the last line, with a sentence unless that is "", and end the reply. */
void answer_end(struct reply *reply, enum answer_end end, const char *sentence);

#endif
