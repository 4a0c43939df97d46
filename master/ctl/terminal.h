/*
 * The terminal of ccserverctl top: keys arrive one by one, the screen is its own, and everything is put back however that
 * ends: by a key, by a signal, or for the time that Ctrl-Z stops it.
 *
 *   signals are blocked, but while it waits and while it writes: no one is missed, and a terminal that takes nothing any
 *   more (Ctrl-S) can be left
 */
#ifndef MASTER_CTL_TERMINAL_H
#define MASTER_CTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum terminal_event {
    TERMINAL_TIME,   /* it is time */
    TERMINAL_KEY,    /* a key was pressed */
    TERMINAL_REDRAW, /* another size, or other things have been written meanwhile */
    TERMINAL_END,    /* by a signal, or the terminal is gone */
};

/* Whether standard input and output are a terminal that knows escape codes. */
bool terminal_is_one(void);

/* Take it. False with errno. */
bool terminal_open(void);

/* Give it back; without effect when it is not open. Returns the signal that has ended it, which is for the caller to die
 * of, or 0. */
int terminal_close(void);

void terminal_size(unsigned *rows, unsigned *columns);

/* Wait for something to happen, until `until_ms` of the clock. */
enum terminal_event terminal_wait(uint64_t until_ms, char *key);

/* Write as much as a signal lets us. */
void terminal_write(const char *text, size_t size);

#endif
