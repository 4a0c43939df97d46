#include "master/supervisor.h"

/* The action REPLACE is resolved by the backoff rule: SPAWN at once, or WAIT. */
enum { REPLACE = 100, LATE_MS = 100 };

struct cell {
    int action;
    enum supervisor_state next;
};

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): cells are initialisers */
#define S(name) SUPERVISOR_##name
#define A(name) SUPERVISOR_ACT_##name
#define E(name) [SUPERVISOR_EVENT_##name]
#define ROW(state, start, ready, beat, due, died, crashed, gave_up, stop, kill, error)                                 \
    [S(state)] = {E(START) = start,     E(READY) = ready,     E(BEAT) = beat, E(DUE) = due,   E(DIED) = died,          \
                  E(CRASHED) = crashed, E(GAVE_UP) = gave_up, E(STOP) = stop, E(KILL) = kill, E(ERROR) = error}

#define BUG {A(BUG), S(EMPTY)} /* fatal: there is no next state */
#define STAY(state) {A(NONE), S(state)}
#define GO(action, state) {A(action), S(state)}
#define AGAIN(state) {REPLACE, S(state)} /* the state when it is started at once */
#define LEAVE GO(DRAIN, STOPPING)
#define END GO(KILL, ENDING)
#define EXPEL GO(KILL, KILLED) /* and replace it */
#define GONE STAY(EMPTY)
#define QUIT GO(LOG_DOWN, DOWN)
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct cell table[SUPERVISOR_STATE_COUNT][SUPERVISOR_EVENT_COUNT] = {
    /*   state     START                READY                BEAT                      DUE                       DIED             CRASHED          GAVE_UP  STOP            KILL            ERROR */
    ROW(EMPTY,     GO(SPAWN, STARTING), BUG,                 BUG,                      BUG,                      BUG,             BUG,             BUG,     GONE,           GONE,           BUG),
    ROW(STARTING,  STAY(STARTING),      STAY(RUNNING),       STAY(STARTING),           STAY(SLOW),               AGAIN(STARTING), AGAIN(STARTING), QUIT,    LEAVE,          END,            EXPEL),
    ROW(SLOW,      STAY(SLOW),          STAY(RUNNING),       STAY(SLOW),               GO(ABORT, ABORTED),       AGAIN(SLOW),     AGAIN(SLOW),     QUIT,    LEAVE,          END,            EXPEL),
    ROW(RUNNING,   STAY(RUNNING),       EXPEL,               STAY(RUNNING),            GO(LOG_SILENT, SILENT),   AGAIN(STARTING), AGAIN(STARTING), QUIT,    LEAVE,          END,            EXPEL),
    ROW(SILENT,    STAY(SILENT),        EXPEL,               GO(LOG_AWAKE, RUNNING),   GO(ABORT, ABORTED),       AGAIN(SLOW),     AGAIN(SLOW),     QUIT,    LEAVE,          END,            EXPEL),
    ROW(ABORTED,   STAY(ABORTED),       STAY(ABORTED),       STAY(ABORTED),            GO(KILL, KILLED),         AGAIN(SLOW),     AGAIN(SLOW),     QUIT,    END,            END,            EXPEL),
    ROW(KILLED,    STAY(KILLED),        STAY(KILLED),        STAY(KILLED),             BUG,                      AGAIN(SLOW),     AGAIN(SLOW),     QUIT,    STAY(ENDING),   STAY(ENDING),   STAY(KILLED)),
    ROW(BACKOFF,   STAY(BACKOFF),       BUG,                 BUG,                      GO(SPAWN, SLOW),          BUG,             BUG,             BUG,     GONE,           GONE,           BUG),
    ROW(STOPPING,  STAY(STOPPING),      STAY(STOPPING),      STAY(STOPPING),           END,                      GONE,            GONE,            GONE,    STAY(STOPPING), END,            END),
    ROW(ENDING,    STAY(ENDING),        STAY(ENDING),        STAY(ENDING),             BUG,                      GONE,            GONE,            GONE,    STAY(ENDING),   STAY(ENDING),   STAY(ENDING)),
    ROW(DOWN,      GO(SPAWN, SLOW),     BUG,                 BUG,                      BUG,                      BUG,             BUG,             BUG,     GONE,           GONE,           BUG),
};
/* clang-format on */

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

static uint64_t wait_before_replacement(struct supervisor_slot *slot, bool crashed, uint64_t now_ms)
{
    if (now_ms - slot->started_ms >= SUPERVISOR_HEALTHY_MS)
        slot->crashes = 0;
    if (!crashed && now_ms - slot->started_ms >= SUPERVISOR_BRIEF_MS &&
        (slot->state == SUPERVISOR_RUNNING || slot->state == SUPERVISOR_SILENT))
        return 0;
    slot->crashes++;
    return backoff_ms(slot->crashes);
}

/* When the patience with the state just entered (or renewed by a heartbeat) ends. */
static uint64_t due_of(const struct supervisor_slot *slot, const struct supervisor_patience *patience, uint64_t now_ms)
{
    switch (slot->state) {
    case SUPERVISOR_STARTING: return now_ms + patience->adopt_after_ms;
    case SUPERVISOR_SLOW: return slot->beat_ms + patience->watchdog_ms;
    case SUPERVISOR_RUNNING: return slot->beat_ms + patience->adopt_after_ms;
    case SUPERVISOR_SILENT: return slot->beat_ms + patience->watchdog_ms;
    case SUPERVISOR_ABORTED: return now_ms + SUPERVISOR_ABORT_MS;
    case SUPERVISOR_BACKOFF: return now_ms + backoff_ms(slot->crashes);
    case SUPERVISOR_STOPPING:
        return slot->end_ms < slot->beat_ms + patience->watchdog_ms ? slot->end_ms
                                                                    : slot->beat_ms + patience->watchdog_ms;
    default: return UINT64_MAX;
    }
}

enum supervisor_action supervisor_handle(struct supervisor_slot *slot, enum supervisor_event event,
                                         const struct supervisor_patience *patience, uint64_t now_ms)
{
    struct cell cell = table[slot->state][event];

    if (cell.action == REPLACE) {
        bool waits = wait_before_replacement(slot, event == SUPERVISOR_EVENT_CRASHED, now_ms) > 0;
        cell.action = waits ? SUPERVISOR_ACT_WAIT : SUPERVISOR_ACT_SPAWN;
        cell.next = waits ? SUPERVISOR_BACKOFF : cell.next;
    }
    if (cell.action == SUPERVISOR_ACT_BUG)
        return SUPERVISOR_ACT_BUG;
    if (cell.action == SUPERVISOR_ACT_DRAIN) {
        slot->end_ms = now_ms + patience->drain_ms + SUPERVISOR_GRACE_MS;
        slot->beat_ms = now_ms; /* so that the watchdog measures from here */
    }
    bool entered = cell.next != slot->state || cell.action == SUPERVISOR_ACT_SPAWN;
    slot->state = cell.next;
    if (cell.action == SUPERVISOR_ACT_SPAWN)
        slot->started_ms = slot->beat_ms = now_ms;
    if (event == SUPERVISOR_EVENT_BEAT || event == SUPERVISOR_EVENT_READY)
        slot->beat_ms = now_ms;
    if (entered)
        slot->since_ms = now_ms;
    bool renewed = slot->state == SUPERVISOR_SLOW || slot->state == SUPERVISOR_RUNNING ||
                   slot->state == SUPERVISOR_STOPPING;
    if (entered || renewed)
        slot->due_ms = due_of(slot, patience, now_ms);
    return (enum supervisor_action)cell.action;
}

bool supervisor_is_adopted(enum supervisor_state state)
{
    switch (state) {
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING: return false;
    default: return true;
    }
}

bool supervisor_is_alive(enum supervisor_state state)
{
    return state != SUPERVISOR_EMPTY && state != SUPERVISOR_BACKOFF && state != SUPERVISOR_DOWN;
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

uint64_t supervisor_clock_now(struct supervisor_clock *clock, uint64_t real_ms, uint32_t sleep_ms)
{
    uint64_t expected_ms = clock->last_ms + sleep_ms + LATE_MS;

    if (clock->last_ms && real_ms > expected_ms)
        clock->lost_ms += real_ms - expected_ms;
    clock->last_ms = real_ms;
    return real_ms - clock->lost_ms;
}
