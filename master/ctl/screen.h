/*
 * Lines of one screen: collected, and only then written, so that nothing flickers. Nothing in them can steer the terminal,
 * and none is wider than it.
 */
#ifndef MASTER_CTL_SCREEN_H
#define MASTER_CTL_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

enum { SCREEN_WIDTH = 80 };

struct screen {
    FILE *out;
    bool is_terminal;       /* with escape codes; else lines for a script */
    unsigned rows, columns; /* of the terminal; without one all rows fit */
    unsigned used;          /* rows */
};

/* The next line; what does not fit is left out. A heading is shown in reverse, where that is possible. */
void screen_line(struct screen *screen, const char *format, ...) __attribute__((format(printf, 2, 3)));
void screen_heading(struct screen *screen, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Back to the first row; clear what is below the last line, then one more line in the last row, which is kept free. */
void screen_begin(struct screen *screen);
void screen_end(struct screen *screen, const char *line);

/* How many more lines fit. */
unsigned screen_room(const struct screen *screen);

#endif
