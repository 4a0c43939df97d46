/*
 * ccserverctl sessions: the lines of a control service as a table, or as JSON.
 */
#ifndef MASTER_CTL_SESSIONS_H
#define MASTER_CTL_SESSIONS_H

#include <stdbool.h>

/* Begin; then each line of the answer, the first of which names the fields; then the end. */
void sessions_begin(bool json);
void sessions_line(char *line);
void sessions_end(void);

#endif
