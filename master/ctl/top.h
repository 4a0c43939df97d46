/*
 * ccserverctl top: what the server does, again and again. On a terminal with keys like those of top(1), else as text.
 *
 *   terminal.h   keys, signals, the size        top_rows.h   readings, made into rows
 *              \                                 /
 *                top.c: when to read, what a key means
 *                       |
 *                top_page.h: rows as lines ---> screen.h
 */
#ifndef MASTER_CTL_TOP_H
#define MASTER_CTL_TOP_H

#include "master/ctl/server.h"

enum { TOP_DELAY_MS = 1000, TOP_DELAY_MIN_MS = 100, TOP_DELAY_MAX_MS = 86400 * 1000 };

struct top_options {
    bool is_batch;     /* no terminal */
    uint64_t delay_ms; /* between two screens */
    uint32_t screens;  /* so many, 0: until it is ended */
};

/* Milliseconds of a text in seconds, "0.5"; 0: it is not one from TOP_DELAY_MIN_MS to TOP_DELAY_MAX_MS. */
uint64_t top_parse_delay(const char *text);

/* `server` is open, and this is a terminal or a batch. A signal that ends it ends the process. */
enum ctl_exit top_run(struct server *server, const struct top_options *options);

#endif
