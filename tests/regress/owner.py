"""A service whose listener [listen owner] owns a file that no two processes may have, and which can be hurt by a client."""
from tree import build_once

SERVICE = r"""
#include "worker/session.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* What the file OWNER_ORDER says: "NAME fail", "NAME fail-once", "NAME crash", "NAME slow 40"; for the listener of this name. */
static int obey(struct section *section, char *error, size_t error_size)
{
    char name[32], verb[32];
    int number = 0;
    FILE *in = fopen(getenv("OWNER_ORDER"), "re");

    if (!in)
        return 0;
    int items = fscanf(in, "%31s %31s %d", name, verb, &number);
    fclose(in);
    if (items < 2 || strcmp(name, section_name(section)) != 0)
        return 0;
    if (strcmp(verb, "crash") == 0)
        abort();
    if (strcmp(verb, "fail") == 0 || strcmp(verb, "fail-once") == 0) {
        if (strcmp(verb, "fail-once") == 0)
            unlink(getenv("OWNER_ORDER"));
        snprintf(error, error_size, "told to fail");
        return -1;
    }
    for (int i = 0; i < number; i++) {
        usleep(50 * 1000);
        section_beat(section);
    }
    return 0;
}

static int start(struct section *section, char *error, size_t error_size)
{
    if (obey(section, error, error_size) < 0)
        return -1;
    if (strcmp(section_name(section), "owner") != 0)
        return 0;
    int fd = open(getenv("OWNER_LOCK"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    snprintf(error, error_size, "two owners at a time");
    return -1;
}

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    static volatile unsigned turns;
    static volatile char *leaked[64] __attribute__((used));
    static unsigned leaks;
    char text[32] = "";

    memcpy(text, bytes, size < sizeof(text) ? size : sizeof(text) - 1);
    while (strcmp(text, "loop") == 0)
        turns++;
    if (strncmp(text, "hang ", 5) == 0)
        usleep((useconds_t)atoi(text + 5) * 1000);
    if (strcmp(text, "crash") == 0)
        abort();
    if (strncmp(text, "exit ", 5) == 0)
        _exit(atoi(text + 5));
    if (strncmp(text, "leak ", 5) == 0) {
        size_t wanted = (size_t)atoi(text + 5) << 20;
        volatile char *memory = malloc(wanted);
        for (size_t i = 0; memory && i < wanted; i += 1024)
            memory[i] = 1;
        leaked[leaks++ % 64] = memory; /* so that no leak checker is the first to notice */
    }
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    session_send(session, text, strlen(text));
    return SESSION_CONTINUE;
}

const struct service owner_service = {
    .name = "owner",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = 1024,
    .start = start,
    .message = message,
};
"""


def build(factory):
    """The path of the binary."""
    return build_once(factory, "owner", {"owner.c": SERVICE})
