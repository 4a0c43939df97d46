/*
 * Text from the memory of a server as lines for a terminal: it may contain anything, for whoever has written it may be no
 * server at all.
 */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include "common/state.h"
#include <stddef.h>
#include <stdint.h>

/* Replace by '?' what could steer a terminal: control characters, the C1 ones, too, and what is not UTF-8. */
void text_make_safe(char *text);

/* The same, and everything that is not ASCII: one byte is one column then. */
void text_make_ascii(char *text);

/* "2026-11-27 21:46:26", local time; "-" for a time that there is not. */
enum { TEXT_TIME_SIZE = 32 };
void text_time(char text[TEXT_TIME_SIZE], uint64_t ms_since_1970);

/* "last reload      2026-11-27 21:46:26, done: nothing has changed", safe to print. */
void text_change(char *line, size_t size, const char *what, const struct state_change *change);

#endif
