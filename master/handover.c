#include "master/handover.h"

struct cell {
    enum handover_action action;
    enum handover_state next;
};

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): cells are initialisers */
#define S(name) HANDOVER_##name
#define A(name) HANDOVER_ACT_##name
#define E(name) [HANDOVER_EVENT_##name]
#define WORDS(alive, yield, yielded, ready, yours, mine, failed, stopping, quickly)                                    \
    E(ALIVE) = alive, E(YIELD) = yield, E(YIELDED) = yielded, E(READY) = ready, E(YOURS) = yours,                \
    E(MINE) = mine, E(FAILED) = failed, E(STOPPING) = stopping, E(QUICKLY) = quickly
#define REST(start, emptied, others_ready, sent, late, closed, exited, died, stop, break_down)                         \
    E(START) = start, E(EMPTIED) = emptied, E(OTHERS_READY) = others_ready, E(SENT) = sent, E(LATE) = late,            \
    E(CLOSED) = closed, E(EXITED) = exited, E(DIED) = died, E(STOP) = stop, E(BREAK_DOWN) = break_down

#define BUG {A(BUG), S(IN_CHARGE)} /* fatal: there is no next state */
#define STAY(state) {A(NONE), S(state)}
#define GO(action, state) {A(action), S(state)}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct cell table[HANDOVER_STATE_COUNT][HANDOVER_EVENT_COUNT] = {
    /*                        ALIVE               YIELD                YIELDED                       READY               YOURS                   MINE                        FAILED                 STOPPING             QUICKLY */
    /*                        START               EMPTIED                     OTHERS_READY            SENT                      LATE                CLOSED                          EXITED                  DIED                           STOP                          BREAK_DOWN */
    [S(IN_CHARGE)]   = {WORDS(BUG,                BUG,                 BUG,                          BUG,                BUG,                    BUG,                        BUG,                   BUG,                 BUG),
                        REST( GO(WAIT, STARTING), BUG,                        BUG,                    BUG,                      BUG,                BUG,                            BUG,                    BUG,                           STAY(IN_CHARGE),              STAY(IN_CHARGE))},

    [S(STARTING)]    = {WORDS(GO(WAIT, STARTING), GO(YIELD, YIELDING), STAY(STARTING),               GO(OFFER, OFFERED), STAY(STARTING),         GO(HAND_OVER, HANDED_OVER), GO(KILL, REJECTED),    GO(HURRY, STARTING), STAY(STARTING)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      GO(KILL, REJECTED), GO(CLOSE, STARTING),            GO(FAIL, IN_CHARGE),    GO(FAIL, IN_CHARGE),           GO(KILL, REJECTED),           GO(KILL, REJECTED))},

    [S(YIELDING)]    = {WORDS(GO(WAIT, YIELDING), STAY(YIELDING),      STAY(YIELDING),               GO(OFFER, OFFERED), STAY(YIELDING),         GO(HAND_OVER, HANDED_OVER), GO(KILL, REJECTED),    GO(HURRY, YIELDING), STAY(YIELDING)),
                        REST( BUG,                GO(SEND_YIELDED, STARTING), BUG,                    BUG,                      GO(WAIT, YIELDING), GO(CLOSE, YIELDING),            GO(FAIL, IN_CHARGE),    GO(FAIL, IN_CHARGE),           GO(KILL, REJECTED),           GO(KILL, REJECTED))},

    [S(OFFERED)]     = {WORDS(GO(WAIT, OFFERED),  STAY(OFFERED),       STAY(OFFERED),                GO(OFFER, OFFERED), STAY(OFFERED),          GO(HAND_OVER, HANDED_OVER), GO(KILL, REVOKED),     GO(HURRY, OFFERED),  STAY(OFFERED)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      GO(KILL, REVOKED),  GO(CLOSE, OFFERED),             GO(RECOVER, IN_CHARGE), GO(RECOVER, IN_CHARGE),        GO(KILL, REVOKED),            GO(KILL, REVOKED))},

    [S(REJECTED)]    = {WORDS(STAY(REJECTED),     STAY(REJECTED),      STAY(REJECTED),               STAY(REJECTED),     STAY(REJECTED),         STAY(REJECTED),             STAY(REJECTED),        GO(HURRY, REJECTED), STAY(REJECTED)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(CLOSE, REJECTED),            GO(FAIL, IN_CHARGE),    GO(FAIL, IN_CHARGE),           STAY(REJECTED),               STAY(REJECTED))},

    [S(REVOKED)]     = {WORDS(STAY(REVOKED),      STAY(REVOKED),       STAY(REVOKED),                STAY(REVOKED),      STAY(REVOKED),          STAY(REVOKED),              STAY(REVOKED),         GO(HURRY, REVOKED),  STAY(REVOKED)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(CLOSE, REVOKED),             GO(RECOVER, IN_CHARGE), GO(RECOVER, IN_CHARGE),        STAY(REVOKED),                STAY(REVOKED))},

    [S(HANDED_OVER)] = {WORDS(STAY(HANDED_OVER),  STAY(HANDED_OVER),   STAY(HANDED_OVER),            STAY(HANDED_OVER),  STAY(HANDED_OVER),      STAY(HANDED_OVER),          GO(KILL, HANDED_OVER), GO(HURRY, ENDING),   GO(STOP_AT_ONCE, HANDED_OVER)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(CLOSE, HANDED_OVER),         GO(OUTLIVE, OUTLIVED),  GO(RESUME_SERVICE, IN_CHARGE), STAY(HANDED_OVER),            BUG)},

    [S(ENDING)]      = {WORDS(STAY(ENDING),       STAY(ENDING),        STAY(ENDING),                 STAY(ENDING),       STAY(ENDING),           STAY(ENDING),               GO(KILL, ENDING),      GO(HURRY, ENDING),   GO(STOP_AT_ONCE, ENDING)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(CLOSE, ENDING),              GO(OUTLIVE, OUTLIVED),  GO(OUTLIVE, OUTLIVED),         STAY(ENDING),                 BUG)},

    [S(OUTLIVED)]    = {WORDS(BUG,                BUG,                 BUG,                          BUG,                BUG,                    BUG,                        BUG,                   BUG,                 BUG),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                BUG,                            BUG,                    BUG,                           STAY(OUTLIVED),               BUG)},

    [S(CANDIDATE)]   = {WORDS(STAY(CANDIDATE),    STAY(CANDIDATE),     STAY(CANDIDATE),              STAY(CANDIDATE),    GO(CLAIM, CLAIMED),     STAY(CANDIDATE),            STAY(CANDIDATE),       STAY(CANDIDATE),     STAY(CANDIDATE)),
                        REST( BUG,                BUG,                        GO(SEND_YIELD, ASKING), BUG,                      BUG,                GO(TAKE_OVER_ALONE, IN_CHARGE), BUG,                    BUG,                           GO(SEND_STOPPING, WITHDRAWN), STAY(WITHDRAWN))},

    [S(ASKING)]      = {WORDS(STAY(ASKING),       STAY(ASKING),        GO(START_SINGLES, CANDIDATE), STAY(ASKING),       GO(CLAIM, CLAIMED),     STAY(ASKING),               STAY(ASKING),          STAY(ASKING),        STAY(ASKING)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(TAKE_OVER_ALONE, IN_CHARGE), BUG,                    BUG,                           GO(SEND_STOPPING, WITHDRAWN), STAY(WITHDRAWN))},

    [S(WITHDRAWN)]   = {WORDS(STAY(WITHDRAWN),    STAY(WITHDRAWN),     STAY(WITHDRAWN),              STAY(WITHDRAWN),    STAY(WITHDRAWN),        STAY(WITHDRAWN),            STAY(WITHDRAWN),       STAY(WITHDRAWN),     STAY(WITHDRAWN)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(FORGET, IN_CHARGE),          BUG,                    BUG,                           GO(SEND_STOPPING, WITHDRAWN), BUG)},

    [S(CLAIMED)]     = {WORDS(STAY(CLAIMED),      STAY(CLAIMED),       STAY(CLAIMED),                STAY(CLAIMED),      GO(SEND_MINE, CLAIMED), STAY(CLAIMED),              STAY(CLAIMED),         STAY(CLAIMED),       STAY(CLAIMED)),
                        REST( BUG,                BUG,                        BUG,                    GO(TAKE_OVER, SUCCESSOR), BUG,                GO(TAKE_OVER_ALONE, IN_CHARGE), BUG,                    BUG,                           GO(SEND_STOPPING, CLOSING),   STAY(CLOSING))},

    [S(CLOSING)]     = {WORDS(STAY(CLOSING),      STAY(CLOSING),       STAY(CLOSING),                STAY(CLOSING),      STAY(CLOSING),          STAY(CLOSING),              STAY(CLOSING),         STAY(CLOSING),       STAY(CLOSING)),
                        REST( BUG,                BUG,                        BUG,                    STAY(SUCCESSOR),          BUG,                GO(FORGET, IN_CHARGE),          BUG,                    BUG,                           GO(SEND_STOPPING, CLOSING),   BUG)},

    [S(SUCCESSOR)]   = {WORDS(STAY(SUCCESSOR),    STAY(SUCCESSOR),     STAY(SUCCESSOR),              STAY(SUCCESSOR),    STAY(SUCCESSOR),        STAY(SUCCESSOR),            STAY(SUCCESSOR),       STAY(SUCCESSOR),     STAY(SUCCESSOR)),
                        REST( BUG,                BUG,                        BUG,                    BUG,                      BUG,                GO(FORGET, IN_CHARGE),          BUG,                    BUG,                           GO(SEND_STOPPING, SUCCESSOR), STAY(SUCCESSOR))},
};
/* clang-format on */

enum handover_action handover_handle(enum handover_state *state, enum handover_event event)
{
    struct cell cell = table[*state][event];

    if (cell.action != HANDOVER_ACT_BUG)
        *state = cell.next;
    return cell.action;
}

bool handover_is_in_charge(enum handover_state state)
{
    return !handover_is_candidate(state) && !handover_has_handed_over(state);
}

bool handover_owns_sockets(enum handover_state state, bool has_failed)
{
    return handover_is_in_charge(state) && !(has_failed && state == HANDOVER_SUCCESSOR);
}

bool handover_may_reload(enum handover_state state)
{
    return state == HANDOVER_IN_CHARGE;
}

bool handover_is_candidate(enum handover_state state)
{
    return state == HANDOVER_CANDIDATE || state == HANDOVER_ASKING || state == HANDOVER_WITHDRAWN ||
           handover_has_claimed(state);
}

bool handover_has_claimed(enum handover_state state)
{
    return state == HANDOVER_CLAIMED || state == HANDOVER_CLOSING;
}

bool handover_has_handed_over(enum handover_state state)
{
    return handover_has_successor(state) || state == HANDOVER_OUTLIVED;
}

bool handover_has_successor(enum handover_state state)
{
    return state == HANDOVER_HANDED_OVER || state == HANDOVER_ENDING;
}

bool handover_has_predecessor(enum handover_state state)
{
    return handover_is_candidate(state) || state == HANDOVER_SUCCESSOR;
}

bool handover_awaits_end(enum handover_state state)
{
    switch (state) {
    case HANDOVER_STARTING:
    case HANDOVER_YIELDING:
    case HANDOVER_OFFERED:
    case HANDOVER_REJECTED:
    case HANDOVER_REVOKED:
    case HANDOVER_HANDED_OVER:
    case HANDOVER_ENDING: return true;
    default: return false;
    }
}

const char *handover_state_name(enum handover_state state)
{
    static const char *const names[] = {
#define X(name, text) text,
        HANDOVER_STATES(X)
#undef X
    };
    return names[state];
}
