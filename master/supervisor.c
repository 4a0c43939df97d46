#include "master/supervisor.h"

/* The action REPLACE is resolved by the backoff rule: SPAWN at once, or WAIT. */
enum { REPLACE = 100 };

struct cell {
    int action;
    enum supervisor_state next;
};

#define S(name) SUPERVISOR_##name
#define A(name) SUPERVISOR_ACT_##name
#define E(name) [SUPERVISOR_EVENT_##name]

static const struct cell table[SUPERVISOR_STATE_COUNT][SUPERVISOR_EVENT_COUNT] =
    {
        [S(EMPTY)] =
            {
                E(START) = {A(SPAWN), S(STARTING)},
                E(READY) = {A(BUG), S(EMPTY)},
                E(DIED) = {A(BUG), S(EMPTY)},
                E(GAVE_UP) = {A(BUG), S(EMPTY)},
                E(RETRY) = {A(BUG), S(EMPTY)},
                E(STOP) = {A(NONE), S(EMPTY)},
            },
        [S(STARTING)] =
            {
                E(START) = {A(NONE), S(STARTING)},
                E(READY) = {A(NONE), S(RUNNING)},
                E(DIED) = {REPLACE, S(STARTING)},
                E(GAVE_UP) = {A(TELL_DOWN), S(DOWN)},
                E(RETRY) = {A(BUG), S(STARTING)},
                E(STOP) = {A(DRAIN), S(STOPPING)},
            },
        [S(RUNNING)] =
            {
                E(START) = {A(NONE), S(RUNNING)},
                E(READY) = {A(BUG), S(RUNNING)},
                E(DIED) = {REPLACE, S(STARTING)},
                E(GAVE_UP) = {A(TELL_DOWN), S(DOWN)},
                E(RETRY) = {A(BUG), S(RUNNING)},
                E(STOP) = {A(DRAIN), S(STOPPING)},
            },
        [S(BACKOFF)] =
            {
                E(START) = {A(NONE), S(BACKOFF)},
                E(READY) = {A(BUG), S(BACKOFF)},
                E(DIED) = {A(BUG), S(BACKOFF)},
                E(GAVE_UP) = {A(BUG), S(BACKOFF)},
                E(RETRY) = {A(SPAWN), S(STARTING)},
                E(STOP) = {A(NONE), S(EMPTY)},
            },
        [S(STOPPING)] =
            {
                E(START) = {A(NONE), S(STOPPING)}, /* the end of the old one comes first */
                E(READY) = {A(NONE), S(STOPPING)}, /* it was said before the order to stop arrived */
                E(DIED) = {A(NONE), S(EMPTY)},
                E(GAVE_UP) = {A(NONE), S(EMPTY)},
                E(RETRY) = {A(BUG), S(STOPPING)},
                E(STOP) = {A(NONE), S(STOPPING)},
            },
        [S(DOWN)] =
            {
                E(START) = {A(NONE), S(DOWN)},
                E(READY) = {A(BUG), S(DOWN)},
                E(DIED) = {A(BUG), S(DOWN)},
                E(GAVE_UP) = {A(BUG), S(DOWN)},
                E(RETRY) = {A(BUG), S(DOWN)},
                E(STOP) = {A(NONE), S(EMPTY)},
            },
};

/* Milliseconds to wait after the n-th crash in a row: 0, 10, 20, 40 ... 1000. */
static uint64_t backoff_ms(unsigned crashes)
{
    uint64_t wait = SUPERVISOR_BACKOFF_MIN_MS;

    if (crashes <= 1)
        return 0;
    for (unsigned i = 2; i < crashes && wait < SUPERVISOR_BACKOFF_MAX_MS; i++)
        wait *= 2;
    return wait < SUPERVISOR_BACKOFF_MAX_MS ? wait : SUPERVISOR_BACKOFF_MAX_MS;
}

static uint64_t wait_before_replacement(struct supervisor_slot *slot, bool own_fault, uint64_t now_ms)
{
    if (now_ms - slot->started_ms >= SUPERVISOR_HEALTHY_MS)
        slot->crashes = 0;
    if (!own_fault && slot->state == SUPERVISOR_RUNNING)
        return 0;
    slot->crashes++;
    return backoff_ms(slot->crashes);
}

enum supervisor_action supervisor_handle(struct supervisor_slot *slot, enum supervisor_event event, bool own_fault,
                                         uint64_t now_ms)
{
    struct cell cell = table[slot->state][event];

    if (cell.action == REPLACE) {
        uint64_t wait_ms = wait_before_replacement(slot, own_fault, now_ms);
        cell.action = wait_ms ? SUPERVISOR_ACT_WAIT : SUPERVISOR_ACT_SPAWN;
        cell.next = wait_ms ? SUPERVISOR_BACKOFF : SUPERVISOR_STARTING;
        slot->retry_ms = now_ms + wait_ms;
    }
    if (cell.next != slot->state || cell.action == SUPERVISOR_ACT_SPAWN)
        slot->since_ms = now_ms;
    if (cell.action == SUPERVISOR_ACT_SPAWN)
        slot->started_ms = now_ms;
    slot->state = cell.next;
    return (enum supervisor_action)cell.action;
}

const char *supervisor_state_name(enum supervisor_state state)
{
    static const char *const names[] = {
#define X(name, text) text,
        SUPERVISOR_STATES(X)
#undef X
    };
    return names[state];
}
