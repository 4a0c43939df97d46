#include "worker/ask.h"
#include "common/channel.h"
#include "common/clock.h"
#include "worker/admin.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

enum { LOST_MS = 10 * 1000 };

static struct ask {
    struct request request; /* id 0: this place is free */
    bool is_sent;
    uint64_t asked_ms; /* monotonic */
    admin_answered *answered;
    uint64_t user;
} asks[ASKS_MAX];

unsigned asks_waiting;

uint32_t admin_ask(enum request_kind kind, uint32_t number, const char *name, admin_answered *answered, uint64_t user)
{
    static uint32_t last_id;
    uint64_t now_ms = clock_now_ms();
    struct ask *ask = asks;

    /* A place whose answer has got lost, since the master could not send it, is free again. */
    while (ask < asks + ASKS_MAX && ask->request.id && !(ask->is_sent && now_ms - ask->asked_ms > LOST_MS))
        ask++;
    if (ask == asks + ASKS_MAX) {
        errno = EAGAIN;
        return 0;
    }
    last_id = last_id == UINT32_MAX ? 1 : last_id + 1;
    *ask = (struct ask){.request = {.id = last_id, .kind = kind, .number = number},
                        .asked_ms = now_ms,
                        .answered = answered,
                        .user = user};
    snprintf(ask->request.name, sizeof(ask->request.name), "%s", name);
    asks_waiting++;
    return last_id;
}

void ask_send_waiting(int channel)
{
    for (struct ask *ask = asks; ask < asks + ASKS_MAX && asks_waiting > 0; ask++) {
        struct channel_message message = {.type = CHANNEL_REQUEST, .request = ask->request};
        if (!ask->request.id || ask->is_sent)
            continue;
        if (channel_send_fds(channel, &message, NULL) == CHANNEL_AGAIN)
            return;
        ask->is_sent = true; /* or there is no master any more: nobody will answer */
        asks_waiting--;
    }
}

void ask_answered(const struct request_answer *answer, int fd)
{
    for (struct ask *ask = asks; ask < asks + ASKS_MAX; ask++) {
        struct ask found = *ask;
        if (!found.request.id || !found.is_sent || found.request.id != answer->id)
            continue;
        ask->request.id = 0;
        found.answered(found.user, answer, fd);
        return;
    }
    if (fd >= 0)
        close(fd);
}
