/*
 * Who is in charge during an upgrade: every cell of the table, what each state means, and the whole course of an
 * upgrade as each of the two masters lives through it.
 */
#include "master/handover.h"
#include "tests/unit/unit.h"

#define S(name) HANDOVER_##name
#define E(name) HANDOVER_EVENT_##name
#define A(name) HANDOVER_ACT_##name

/* ---- the table ---- */

static const struct {
    enum handover_state state;
    enum handover_event event;
    enum handover_action action;
    enum handover_state next;
} cells[] = {
    {S(IN_CHARGE), E(ALIVE), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(YIELD), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(YIELDED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(READY), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(YOURS), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(MINE), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(FAILED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(STOPPING), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(QUICKLY), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(START), A(WAIT), S(STARTING)},
    {S(IN_CHARGE), E(EMPTIED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(OTHERS_READY), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(SENT), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(LATE), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(CLOSED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(EXITED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(DIED), A(BUG), S(IN_CHARGE)},
    {S(IN_CHARGE), E(STOP), A(NONE), S(IN_CHARGE)},
    {S(IN_CHARGE), E(BREAK_DOWN), A(NONE), S(IN_CHARGE)},

    {S(STARTING), E(ALIVE), A(WAIT), S(STARTING)},
    {S(STARTING), E(YIELD), A(YIELD), S(YIELDING)},
    {S(STARTING), E(YIELDED), A(NONE), S(STARTING)},
    {S(STARTING), E(READY), A(OFFER), S(OFFERED)},
    {S(STARTING), E(YOURS), A(NONE), S(STARTING)},
    {S(STARTING), E(MINE), A(HAND_OVER), S(HANDED_OVER)},
    {S(STARTING), E(FAILED), A(KILL), S(REJECTED)},
    {S(STARTING), E(STOPPING), A(HURRY), S(STARTING)},
    {S(STARTING), E(QUICKLY), A(NONE), S(STARTING)},
    {S(STARTING), E(START), A(BUG), S(STARTING)},
    {S(STARTING), E(EMPTIED), A(BUG), S(STARTING)},
    {S(STARTING), E(OTHERS_READY), A(BUG), S(STARTING)},
    {S(STARTING), E(SENT), A(BUG), S(STARTING)},
    {S(STARTING), E(LATE), A(KILL), S(REJECTED)},
    {S(STARTING), E(CLOSED), A(CLOSE), S(STARTING)},
    {S(STARTING), E(EXITED), A(FAIL), S(IN_CHARGE)},
    {S(STARTING), E(DIED), A(FAIL), S(IN_CHARGE)},
    {S(STARTING), E(STOP), A(KILL), S(REJECTED)},
    {S(STARTING), E(BREAK_DOWN), A(KILL), S(REJECTED)},

    {S(YIELDING), E(ALIVE), A(WAIT), S(YIELDING)},
    {S(YIELDING), E(YIELD), A(NONE), S(YIELDING)},
    {S(YIELDING), E(YIELDED), A(NONE), S(YIELDING)},
    {S(YIELDING), E(READY), A(OFFER), S(OFFERED)},
    {S(YIELDING), E(YOURS), A(NONE), S(YIELDING)},
    {S(YIELDING), E(MINE), A(HAND_OVER), S(HANDED_OVER)},
    {S(YIELDING), E(FAILED), A(KILL), S(REJECTED)},
    {S(YIELDING), E(STOPPING), A(HURRY), S(YIELDING)},
    {S(YIELDING), E(QUICKLY), A(NONE), S(YIELDING)},
    {S(YIELDING), E(START), A(BUG), S(YIELDING)},
    {S(YIELDING), E(EMPTIED), A(SEND_YIELDED), S(STARTING)},
    {S(YIELDING), E(OTHERS_READY), A(BUG), S(YIELDING)},
    {S(YIELDING), E(SENT), A(BUG), S(YIELDING)},
    {S(YIELDING), E(LATE), A(WAIT), S(YIELDING)},
    {S(YIELDING), E(CLOSED), A(CLOSE), S(YIELDING)},
    {S(YIELDING), E(EXITED), A(FAIL), S(IN_CHARGE)},
    {S(YIELDING), E(DIED), A(FAIL), S(IN_CHARGE)},
    {S(YIELDING), E(STOP), A(KILL), S(REJECTED)},
    {S(YIELDING), E(BREAK_DOWN), A(KILL), S(REJECTED)},

    {S(OFFERED), E(ALIVE), A(WAIT), S(OFFERED)},
    {S(OFFERED), E(YIELD), A(NONE), S(OFFERED)},
    {S(OFFERED), E(YIELDED), A(NONE), S(OFFERED)},
    {S(OFFERED), E(READY), A(OFFER), S(OFFERED)},
    {S(OFFERED), E(YOURS), A(NONE), S(OFFERED)},
    {S(OFFERED), E(MINE), A(HAND_OVER), S(HANDED_OVER)},
    {S(OFFERED), E(FAILED), A(KILL), S(REVOKED)},
    {S(OFFERED), E(STOPPING), A(HURRY), S(OFFERED)},
    {S(OFFERED), E(QUICKLY), A(NONE), S(OFFERED)},
    {S(OFFERED), E(START), A(BUG), S(OFFERED)},
    {S(OFFERED), E(EMPTIED), A(BUG), S(OFFERED)},
    {S(OFFERED), E(OTHERS_READY), A(BUG), S(OFFERED)},
    {S(OFFERED), E(SENT), A(BUG), S(OFFERED)},
    {S(OFFERED), E(LATE), A(KILL), S(REVOKED)},
    {S(OFFERED), E(CLOSED), A(CLOSE), S(OFFERED)},
    {S(OFFERED), E(EXITED), A(RECOVER), S(IN_CHARGE)},
    {S(OFFERED), E(DIED), A(RECOVER), S(IN_CHARGE)},
    {S(OFFERED), E(STOP), A(KILL), S(REVOKED)},
    {S(OFFERED), E(BREAK_DOWN), A(KILL), S(REVOKED)},

    {S(REJECTED), E(ALIVE), A(NONE), S(REJECTED)},
    {S(REJECTED), E(YIELD), A(NONE), S(REJECTED)},
    {S(REJECTED), E(YIELDED), A(NONE), S(REJECTED)},
    {S(REJECTED), E(READY), A(NONE), S(REJECTED)},
    {S(REJECTED), E(YOURS), A(NONE), S(REJECTED)},
    {S(REJECTED), E(MINE), A(NONE), S(REJECTED)},
    {S(REJECTED), E(FAILED), A(NONE), S(REJECTED)},
    {S(REJECTED), E(STOPPING), A(HURRY), S(REJECTED)},
    {S(REJECTED), E(QUICKLY), A(NONE), S(REJECTED)},
    {S(REJECTED), E(START), A(BUG), S(REJECTED)},
    {S(REJECTED), E(EMPTIED), A(BUG), S(REJECTED)},
    {S(REJECTED), E(OTHERS_READY), A(BUG), S(REJECTED)},
    {S(REJECTED), E(SENT), A(BUG), S(REJECTED)},
    {S(REJECTED), E(LATE), A(BUG), S(REJECTED)},
    {S(REJECTED), E(CLOSED), A(CLOSE), S(REJECTED)},
    {S(REJECTED), E(EXITED), A(FAIL), S(IN_CHARGE)},
    {S(REJECTED), E(DIED), A(FAIL), S(IN_CHARGE)},
    {S(REJECTED), E(STOP), A(NONE), S(REJECTED)},
    {S(REJECTED), E(BREAK_DOWN), A(NONE), S(REJECTED)},

    {S(REVOKED), E(ALIVE), A(NONE), S(REVOKED)},
    {S(REVOKED), E(YIELD), A(NONE), S(REVOKED)},
    {S(REVOKED), E(YIELDED), A(NONE), S(REVOKED)},
    {S(REVOKED), E(READY), A(NONE), S(REVOKED)},
    {S(REVOKED), E(YOURS), A(NONE), S(REVOKED)},
    {S(REVOKED), E(MINE), A(NONE), S(REVOKED)},
    {S(REVOKED), E(FAILED), A(NONE), S(REVOKED)},
    {S(REVOKED), E(STOPPING), A(HURRY), S(REVOKED)},
    {S(REVOKED), E(QUICKLY), A(NONE), S(REVOKED)},
    {S(REVOKED), E(START), A(BUG), S(REVOKED)},
    {S(REVOKED), E(EMPTIED), A(BUG), S(REVOKED)},
    {S(REVOKED), E(OTHERS_READY), A(BUG), S(REVOKED)},
    {S(REVOKED), E(SENT), A(BUG), S(REVOKED)},
    {S(REVOKED), E(LATE), A(BUG), S(REVOKED)},
    {S(REVOKED), E(CLOSED), A(CLOSE), S(REVOKED)},
    {S(REVOKED), E(EXITED), A(RECOVER), S(IN_CHARGE)},
    {S(REVOKED), E(DIED), A(RECOVER), S(IN_CHARGE)},
    {S(REVOKED), E(STOP), A(NONE), S(REVOKED)},
    {S(REVOKED), E(BREAK_DOWN), A(NONE), S(REVOKED)},

    {S(HANDED_OVER), E(ALIVE), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(YIELD), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(YIELDED), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(READY), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(YOURS), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(MINE), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(FAILED), A(KILL), S(HANDED_OVER)},
    {S(HANDED_OVER), E(STOPPING), A(HURRY), S(ENDING)},
    {S(HANDED_OVER), E(QUICKLY), A(STOP_AT_ONCE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(START), A(BUG), S(HANDED_OVER)},
    {S(HANDED_OVER), E(EMPTIED), A(BUG), S(HANDED_OVER)},
    {S(HANDED_OVER), E(OTHERS_READY), A(BUG), S(HANDED_OVER)},
    {S(HANDED_OVER), E(SENT), A(BUG), S(HANDED_OVER)},
    {S(HANDED_OVER), E(LATE), A(BUG), S(HANDED_OVER)},
    {S(HANDED_OVER), E(CLOSED), A(CLOSE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(EXITED), A(OUTLIVE), S(OUTLIVED)},
    {S(HANDED_OVER), E(DIED), A(RESUME_SERVICE), S(IN_CHARGE)},
    {S(HANDED_OVER), E(STOP), A(NONE), S(HANDED_OVER)},
    {S(HANDED_OVER), E(BREAK_DOWN), A(BUG), S(HANDED_OVER)},

    {S(ENDING), E(ALIVE), A(NONE), S(ENDING)},
    {S(ENDING), E(YIELD), A(NONE), S(ENDING)},
    {S(ENDING), E(YIELDED), A(NONE), S(ENDING)},
    {S(ENDING), E(READY), A(NONE), S(ENDING)},
    {S(ENDING), E(YOURS), A(NONE), S(ENDING)},
    {S(ENDING), E(MINE), A(NONE), S(ENDING)},
    {S(ENDING), E(FAILED), A(KILL), S(ENDING)},
    {S(ENDING), E(STOPPING), A(HURRY), S(ENDING)},
    {S(ENDING), E(QUICKLY), A(STOP_AT_ONCE), S(ENDING)},
    {S(ENDING), E(START), A(BUG), S(ENDING)},
    {S(ENDING), E(EMPTIED), A(BUG), S(ENDING)},
    {S(ENDING), E(OTHERS_READY), A(BUG), S(ENDING)},
    {S(ENDING), E(SENT), A(BUG), S(ENDING)},
    {S(ENDING), E(LATE), A(BUG), S(ENDING)},
    {S(ENDING), E(CLOSED), A(CLOSE), S(ENDING)},
    {S(ENDING), E(EXITED), A(OUTLIVE), S(OUTLIVED)},
    {S(ENDING), E(DIED), A(OUTLIVE), S(OUTLIVED)},
    {S(ENDING), E(STOP), A(NONE), S(ENDING)},
    {S(ENDING), E(BREAK_DOWN), A(BUG), S(ENDING)},

    {S(OUTLIVED), E(ALIVE), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(YIELD), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(YIELDED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(READY), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(YOURS), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(MINE), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(FAILED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(STOPPING), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(QUICKLY), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(START), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(EMPTIED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(OTHERS_READY), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(SENT), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(LATE), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(CLOSED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(EXITED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(DIED), A(BUG), S(OUTLIVED)},
    {S(OUTLIVED), E(STOP), A(NONE), S(OUTLIVED)},
    {S(OUTLIVED), E(BREAK_DOWN), A(BUG), S(OUTLIVED)},

    {S(CANDIDATE), E(ALIVE), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(YIELD), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(YIELDED), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(READY), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(YOURS), A(CLAIM), S(CLAIMED)},
    {S(CANDIDATE), E(MINE), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(FAILED), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(STOPPING), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(QUICKLY), A(NONE), S(CANDIDATE)},
    {S(CANDIDATE), E(START), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(EMPTIED), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(OTHERS_READY), A(SEND_YIELD), S(ASKING)},
    {S(CANDIDATE), E(SENT), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(LATE), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(CLOSED), A(TAKE_OVER_ALONE), S(IN_CHARGE)},
    {S(CANDIDATE), E(EXITED), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(DIED), A(BUG), S(CANDIDATE)},
    {S(CANDIDATE), E(STOP), A(SEND_STOPPING), S(WITHDRAWN)},
    {S(CANDIDATE), E(BREAK_DOWN), A(NONE), S(WITHDRAWN)},

    {S(ASKING), E(ALIVE), A(NONE), S(ASKING)},
    {S(ASKING), E(YIELD), A(NONE), S(ASKING)},
    {S(ASKING), E(YIELDED), A(START_SINGLES), S(CANDIDATE)},
    {S(ASKING), E(READY), A(NONE), S(ASKING)},
    {S(ASKING), E(YOURS), A(CLAIM), S(CLAIMED)},
    {S(ASKING), E(MINE), A(NONE), S(ASKING)},
    {S(ASKING), E(FAILED), A(NONE), S(ASKING)},
    {S(ASKING), E(STOPPING), A(NONE), S(ASKING)},
    {S(ASKING), E(QUICKLY), A(NONE), S(ASKING)},
    {S(ASKING), E(START), A(BUG), S(ASKING)},
    {S(ASKING), E(EMPTIED), A(BUG), S(ASKING)},
    {S(ASKING), E(OTHERS_READY), A(BUG), S(ASKING)},
    {S(ASKING), E(SENT), A(BUG), S(ASKING)},
    {S(ASKING), E(LATE), A(BUG), S(ASKING)},
    {S(ASKING), E(CLOSED), A(TAKE_OVER_ALONE), S(IN_CHARGE)},
    {S(ASKING), E(EXITED), A(BUG), S(ASKING)},
    {S(ASKING), E(DIED), A(BUG), S(ASKING)},
    {S(ASKING), E(STOP), A(SEND_STOPPING), S(WITHDRAWN)},
    {S(ASKING), E(BREAK_DOWN), A(NONE), S(WITHDRAWN)},

    {S(WITHDRAWN), E(ALIVE), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(YIELD), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(YIELDED), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(READY), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(YOURS), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(MINE), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(FAILED), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(STOPPING), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(QUICKLY), A(NONE), S(WITHDRAWN)},
    {S(WITHDRAWN), E(START), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(EMPTIED), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(OTHERS_READY), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(SENT), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(LATE), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(CLOSED), A(FORGET), S(IN_CHARGE)},
    {S(WITHDRAWN), E(EXITED), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(DIED), A(BUG), S(WITHDRAWN)},
    {S(WITHDRAWN), E(STOP), A(SEND_STOPPING), S(WITHDRAWN)},
    {S(WITHDRAWN), E(BREAK_DOWN), A(BUG), S(WITHDRAWN)},

    {S(CLAIMED), E(ALIVE), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(YIELD), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(YIELDED), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(READY), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(YOURS), A(SEND_MINE), S(CLAIMED)},
    {S(CLAIMED), E(MINE), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(FAILED), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(STOPPING), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(QUICKLY), A(NONE), S(CLAIMED)},
    {S(CLAIMED), E(START), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(EMPTIED), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(OTHERS_READY), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(SENT), A(TAKE_OVER), S(SUCCESSOR)},
    {S(CLAIMED), E(LATE), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(CLOSED), A(TAKE_OVER_ALONE), S(IN_CHARGE)},
    {S(CLAIMED), E(EXITED), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(DIED), A(BUG), S(CLAIMED)},
    {S(CLAIMED), E(STOP), A(SEND_STOPPING), S(CLOSING)},
    {S(CLAIMED), E(BREAK_DOWN), A(NONE), S(CLOSING)},

    {S(CLOSING), E(ALIVE), A(NONE), S(CLOSING)},
    {S(CLOSING), E(YIELD), A(NONE), S(CLOSING)},
    {S(CLOSING), E(YIELDED), A(NONE), S(CLOSING)},
    {S(CLOSING), E(READY), A(NONE), S(CLOSING)},
    {S(CLOSING), E(YOURS), A(NONE), S(CLOSING)},
    {S(CLOSING), E(MINE), A(NONE), S(CLOSING)},
    {S(CLOSING), E(FAILED), A(NONE), S(CLOSING)},
    {S(CLOSING), E(STOPPING), A(NONE), S(CLOSING)},
    {S(CLOSING), E(QUICKLY), A(NONE), S(CLOSING)},
    {S(CLOSING), E(START), A(BUG), S(CLOSING)},
    {S(CLOSING), E(EMPTIED), A(BUG), S(CLOSING)},
    {S(CLOSING), E(OTHERS_READY), A(BUG), S(CLOSING)},
    {S(CLOSING), E(SENT), A(NONE), S(SUCCESSOR)},
    {S(CLOSING), E(LATE), A(BUG), S(CLOSING)},
    {S(CLOSING), E(CLOSED), A(FORGET), S(IN_CHARGE)},
    {S(CLOSING), E(EXITED), A(BUG), S(CLOSING)},
    {S(CLOSING), E(DIED), A(BUG), S(CLOSING)},
    {S(CLOSING), E(STOP), A(SEND_STOPPING), S(CLOSING)},
    {S(CLOSING), E(BREAK_DOWN), A(BUG), S(CLOSING)},

    {S(SUCCESSOR), E(ALIVE), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(YIELD), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(YIELDED), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(READY), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(YOURS), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(MINE), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(FAILED), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(STOPPING), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(QUICKLY), A(NONE), S(SUCCESSOR)},
    {S(SUCCESSOR), E(START), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(EMPTIED), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(OTHERS_READY), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(SENT), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(LATE), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(CLOSED), A(FORGET), S(IN_CHARGE)},
    {S(SUCCESSOR), E(EXITED), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(DIED), A(BUG), S(SUCCESSOR)},
    {S(SUCCESSOR), E(STOP), A(SEND_STOPPING), S(SUCCESSOR)},
    {S(SUCCESSOR), E(BREAK_DOWN), A(NONE), S(SUCCESSOR)},
};
enum { CELLS = sizeof(cells) / sizeof(cells[0]) };

static void check_cell(unsigned i)
{
    enum handover_state state = cells[i].state;
    enum handover_action action = handover_handle(&state, cells[i].event);

    if (action == cells[i].action && state == cells[i].next)
        return;
    printf("\ncell %u (%s): action %u, state %s\n", i, handover_state_name(cells[i].state), (unsigned)action,
           handover_state_name(state));
    CU_FAIL("a cell of the table");
}

static void test_table(void)
{
    bool answered[HANDOVER_STATE_COUNT][HANDOVER_EVENT_COUNT] = {{false}};

    CU_ASSERT_EQUAL(CELLS, HANDOVER_STATE_COUNT * HANDOVER_EVENT_COUNT);
    for (unsigned i = 0; i < CELLS; i++) {
        CU_ASSERT_FALSE(answered[cells[i].state][cells[i].event]);
        answered[cells[i].state][cells[i].event] = true;
        check_cell(i);
    }
}

/* No word of another process, however wrong, is a bug of ours: as long as there is a channel, each is answered. */
static void test_no_word_is_fatal(void)
{
    for (unsigned i = 0; i < HANDOVER_STATE_COUNT; i++)
        for (unsigned j = E(ALIVE); j <= E(QUICKLY); j++) {
            enum handover_state state = (enum handover_state)i;
            bool has_channel = handover_awaits_end(state) || handover_has_predecessor(state);
            CU_ASSERT_EQUAL(handover_handle(&state, (enum handover_event)j) == A(BUG), !has_channel);
        }
}

/* ---- what a state means ---- */

static void test_states(void)
{
    static const struct {
        const char *name;
        bool in_charge, may_reload, candidate, claimed, handed_over, successor, predecessor, awaits_end;
    } states[] = {
        [S(IN_CHARGE)] = {"in charge", .in_charge = true, .may_reload = true},
        [S(STARTING)] = {"starting", .in_charge = true, .awaits_end = true},
        [S(YIELDING)] = {"yielding", .in_charge = true, .awaits_end = true},
        [S(OFFERED)] = {"offered", .in_charge = true, .awaits_end = true},
        [S(REJECTED)] = {"rejected", .in_charge = true, .awaits_end = true},
        [S(REVOKED)] = {"revoked", .in_charge = true, .awaits_end = true},
        [S(HANDED_OVER)] = {"handed over", .handed_over = true, .successor = true, .awaits_end = true},
        [S(ENDING)] = {"ending", .handed_over = true, .successor = true, .awaits_end = true},
        [S(OUTLIVED)] = {"outlived", .handed_over = true},
        [S(CANDIDATE)] = {"candidate", .candidate = true, .predecessor = true},
        [S(ASKING)] = {"asking", .candidate = true, .predecessor = true},
        [S(WITHDRAWN)] = {"withdrawn", .candidate = true, .predecessor = true},
        [S(CLAIMED)] = {"claimed", .candidate = true, .claimed = true, .predecessor = true},
        [S(CLOSING)] = {"closing", .candidate = true, .claimed = true, .predecessor = true},
        [S(SUCCESSOR)] = {"successor", .in_charge = true, .predecessor = true},
    };

    for (unsigned i = 0; i < HANDOVER_STATE_COUNT; i++) {
        enum handover_state state = (enum handover_state)i;
        CU_ASSERT_STRING_EQUAL(handover_state_name(state), states[i].name);
        CU_ASSERT_EQUAL(handover_is_in_charge(state), states[i].in_charge);
        CU_ASSERT_EQUAL(handover_owns_sockets(state, false), states[i].in_charge);
        CU_ASSERT_EQUAL(handover_owns_sockets(state, true), states[i].in_charge && !states[i].predecessor);
        CU_ASSERT_EQUAL(handover_may_reload(state), states[i].may_reload);
        CU_ASSERT_EQUAL(handover_is_candidate(state), states[i].candidate);
        CU_ASSERT_EQUAL(handover_has_claimed(state), states[i].claimed);
        CU_ASSERT_EQUAL(handover_has_handed_over(state), states[i].handed_over);
        CU_ASSERT_EQUAL(handover_has_successor(state), states[i].successor);
        CU_ASSERT_EQUAL(handover_has_predecessor(state), states[i].predecessor);
        CU_ASSERT_EQUAL(handover_awaits_end(state), states[i].awaits_end);
    }
}

/* ---- two masters, and what one says to the other ---- */

static enum handover_state old, new;

/* Give the event, and carry out what is another event at the other master. */
static void give(enum handover_state *to, enum handover_event event)
{
    enum handover_state *other = to == &old ? &new : &old;

    switch (handover_handle(to, event)) {
    case A(SEND_YIELD): give(other, E(YIELD)); break;
    case A(SEND_YIELDED): give(other, E(YIELDED)); break;
    case A(OFFER): give(other, E(YOURS)); break;
    case A(SEND_STOPPING): give(other, E(STOPPING)); break;
    case A(CLAIM):
    case A(SEND_MINE):
        give(to, E(SENT));
        give(other, E(MINE));
        break;
    case A(BUG): CU_FAIL("what cannot happen"); break;
    default: break;
    }
}

static void begin(void)
{
    old = S(IN_CHARGE);
    new = S(CANDIDATE);
    give(&old, E(START));
}

static void begin_handed_over(void)
{
    begin();
    give(&old, E(ALIVE));
    give(&old, E(READY));
    CU_ASSERT_EQUAL(old, S(HANDED_OVER));
    CU_ASSERT_EQUAL(new, S(SUCCESSOR));
    CU_ASSERT_TRUE(!handover_is_in_charge(old) && handover_is_in_charge(new));
}

static void test_upgrade(void)
{
    begin_handed_over();
    give(&new, E(CLOSED));
    CU_ASSERT_EQUAL(new, S(IN_CHARGE));
    give(&new, E(START)); /* the next one */
    CU_ASSERT_EQUAL(new, S(STARTING));
}

/* What there may be only one of: it leaves for the candidate's, and only then the candidate is READY. */
static void test_yielding(void)
{
    begin();
    give(&new, E(OTHERS_READY));
    CU_ASSERT_EQUAL(old, S(YIELDING));
    CU_ASSERT_EQUAL(new, S(ASKING));
    give(&old, E(LATE)); /* the candidate waits for us */
    CU_ASSERT_EQUAL(old, S(YIELDING));
    give(&old, E(EMPTIED));
    CU_ASSERT_EQUAL(old, S(STARTING));
    CU_ASSERT_EQUAL(new, S(CANDIDATE));
    give(&old, E(READY));
    CU_ASSERT_EQUAL(old, S(HANDED_OVER));
    CU_ASSERT_EQUAL(new, S(SUCCESSOR));
}

static void test_candidate_fails(void)
{
    begin();
    give(&old, E(FAILED));
    give(&old, E(CLOSED));
    CU_ASSERT_TRUE(handover_is_in_charge(old) && !handover_may_reload(old));
    give(&old, E(DIED));
    CU_ASSERT_TRUE(handover_may_reload(old));
}

static void test_stop_of_both(void)
{
    begin_handed_over();
    give(&new, E(STOP));
    CU_ASSERT_EQUAL(old, S(ENDING));
    give(&old, E(DIED)); /* even so nobody serves again */
    CU_ASSERT_EQUAL(old, S(OUTLIVED));
}

static void test_break_down_of_the_successor(void)
{
    begin_handed_over();
    give(&new, E(BREAK_DOWN));
    CU_ASSERT_FALSE(handover_owns_sockets(new, true));
    give(&old, E(DIED));
    CU_ASSERT_EQUAL(old, S(IN_CHARGE));
}

static void test_stop_of_a_candidate(void)
{
    begin();
    give(&new, E(STOP));
    give(&old, E(READY)); /* it had been on its way */
    CU_ASSERT_EQUAL(new, S(WITHDRAWN));
    CU_ASSERT_EQUAL(old, S(OFFERED));
    give(&old, E(CLOSED));
    give(&old, E(EXITED));
    CU_ASSERT_EQUAL(old, S(IN_CHARGE));
}

static void test_death_of_the_predecessor(void)
{
    begin();
    give(&old, E(STOP)); /* and SIGKILL for it, too, before it can kill the candidate */
    CU_ASSERT_EQUAL(old, S(REJECTED));
    old = S(OUTLIVED);
    give(&new, E(CLOSED));
    CU_ASSERT_EQUAL(new, S(IN_CHARGE));
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"table", test_table},
        {"no word is fatal", test_no_word_is_fatal},
        {"states", test_states},
        {"upgrade", test_upgrade},
        {"yielding", test_yielding},
        {"a candidate fails", test_candidate_fails},
        {"stop of both", test_stop_of_both},
        {"break-down of the successor", test_break_down_of_the_successor},
        {"stop of a candidate", test_stop_of_a_candidate},
        {"death of the predecessor", test_death_of_the_predecessor},
        {0},
    };
    return unit_main("handover", tests);
}
