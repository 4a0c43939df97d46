/*
 * The title of a process, as ps and pgrep -f show it: what it is, and which configuration it has.
 *
 *   ccserver: master /etc/ccserver.conf
 *   ccserver: worker 0 /etc/ccserver.conf
 *   ccserver: bank worker 1 /etc/ccserver.conf
 *
 * The title stands in the place of the arguments and the environment that the process was started with, so it can be no
 * longer than these are. Nothing in it depends on argv[0], which may be anything, or missing.
 */
#ifndef COMMON_TITLE_H
#define COMMON_TITLE_H

/*
 * First thing in main(): where the arguments and the environment are too short for a title, execute the same program
 * again with a longer environment. Returns where they are not, or that cannot be done.
 */
void title_make_room(int argc, char **argv, char **environment);

/* Before the first title_set(). `file`, copied, stands at the end of each title; "" or NULL: nothing does. */
void title_init(int argc, char **argv, char **environment, const char *file);

/* Set the title to "ccserver: " and this text, then the file. Without title_init() nothing happens. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
