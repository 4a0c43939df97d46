"""A service that does to its worker what no service should, and workers that fail at their start."""
from liar import LIES
from tree import build_once

SERVICE = """
#include "worker/session.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
""" + LIES + """
/* Named and not inlined, to be found in a backtrace. */
void trap_loop(void);
void trap_block(void);

__attribute__((noinline)) void trap_loop(void)
{
    static volatile unsigned turns;

    for (;;)
        turns++;
}

__attribute__((noinline)) void trap_block(void)
{
    int ends[2];
    char byte;

    while (pipe(ends) < 0 || read(ends[0], &byte, 1) != 1)
        ;
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    char text[32] = "";

    memcpy(text, bytes, size < sizeof(text) ? size : sizeof(text) - 1);
    if (strcmp(text, "loop") == 0)
        trap_loop();
    else if (strcmp(text, "block") == 0)
        trap_block();
    else if (strncmp(text, "exit ", 5) == 0)
        _exit(atoi(text + 5));
    else if (strcmp(text, "reach") == 0) {
        snprintf(text, sizeof(text), "%d\\n", reach());
        session_send(session, text, strlen(text));
        return SESSION_CONTINUE;
    } else if (strncmp(text, "overwrite ", 10) == 0) {
        snprintf(text, sizeof(text), "%d\\n", overwrite((unsigned)atoi(text + 10)));
        session_send(session, text, strlen(text));
        return SESSION_CONTINUE;
    } else if (lie(session, text))
        return SESSION_CONTINUE;
    session_send(session, bytes, size);
    session_send(session, "\\n", 1);
    return SESSION_CONTINUE;
}

static pid_t master;

static int forks;

static void in_master(void)
{
    master = getpid();
    forks++;
}

/* In every new worker before anything else: do what the file says, if it is there; "once ...": in one of them. */
static void in_child(void)
{
    const char *path = getenv("CCSERVER_TRAP");
    FILE *file = path ? fopen(path, "re") : NULL;
    const char *skips = getenv("CCSERVER_TRAP_SKIPS"); /* 1: the fork into the background is none of a worker */
    char verb[32], taken[4096];
    int number;

    if (!file || (skips && forks <= atoi(skips)))
        return;
    int once = fscanf(file, "once%n", &number) == 0 && ftell(file) == 4;
    if (!once)
        rewind(file);
    int items = fscanf(file, "%31s %d", verb, &number);
    fclose(file);
    snprintf(taken, sizeof(taken), "%s.taken", path);
    if (items != 2 || (once && rename(path, taken) != 0))
        return;
    if (strcmp(verb, "exit") == 0)
        _exit(number);
    else if (strcmp(verb, "kill") == 0)
        kill(number ? master : getpid(), SIGKILL); /* 1: the master */
    else if (strcmp(verb, "signal") == 0)
        raise(number);
    else if (strcmp(verb, "sleep") == 0)
        sleep((unsigned)number);
}

__attribute__((constructor)) static void trap_set(void)
{
    pthread_atfork(in_master, NULL, in_child);
}

const struct service trap_service = {
    .name = "trap",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = 1024,
    .message = message,
};
"""


def build(factory):
    """The path of the binary."""
    return build_once(factory, "trap", {"trap.c": SERVICE})
