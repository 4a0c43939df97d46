#include "common/state.h"
#include "common/clock.h"
#include "common/sequence.h"
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

const char *state_phase_joint(const struct master_state *state)
{
    return strcmp(state->phase, "serving") == 0 ? " for" : ", up";
}

unsigned state_serving(const struct master_state *state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < state->worker_count; i++)
        count += state->workers[i].part == STATE_SERVES;
    return count;
}

const char *state_unready(const struct master_state *state)
{
    static char text[STATE_POOL_SIZE + 64];

    if (!state->is_ready)
        return state->phase;
    for (unsigned i = 0; i < state->pool_count; i++) {
        const struct state_pool *pool = &state->pools[i];
        if (pool->running > 0)
            continue;
        snprintf(text, sizeof(text), "the pool %s %s", pool->name,
                 pool->cannot_run ? "cannot run" : "has no worker that is ready");
        return text;
    }
    return NULL;
}

const struct state_worker *state_find_worker(const struct master_state *state, const char *name)
{
    const char *slash = strchr(name, '/'), *wrong = NULL;
    unsigned number = (unsigned)strtonum(slash ? slash + 1 : name, 0, INT_MAX, &wrong);
    const struct state_worker *of_pid = NULL;

    for (unsigned i = 0; !wrong && i < state->worker_count; i++) {
        const struct state_worker *worker = &state->workers[i];
        bool in_pool = slash ? strncmp(worker->pool, name, (size_t)(slash - name)) == 0 &&
                                   worker->pool[slash - name] == '\0'
                             : strcmp(worker->pool, "main") == 0;
        if (worker->part != STATE_SERVES || worker->pid <= 0)
            continue;
        if (in_pool && worker->id == number)
            return worker;
        if (!slash && worker->pid == (pid_t)number)
            of_pid = worker;
    }
    return of_pid;
}

void state_note_change(struct state_change *change, bool failed, const char *text)
{
    change->at_ms = clock_date_ms();
    change->failed = failed;
    strlcpy(change->text, text, sizeof(change->text));
    atomic_fetch_add(&change->count, 1);
}

static uint32_t at_most(uint32_t count, uint32_t most)
{
    return count < most ? count : most;
}

/* Copy what means something: behind the last listener and the last worker nothing does. */
static void copy(void *target, const void *source)
{
    struct master_state *to = target;
    const struct master_state *from = source;

    memcpy(to, from, offsetof(struct master_state, listeners));
    memcpy(to->listeners, from->listeners, at_most(to->listener_count, STATE_LISTENERS_MAX) * sizeof(to->listeners[0]));
    memcpy(to->workers, from->workers, at_most(to->worker_count, STATE_WORKERS_MAX) * sizeof(to->workers[0]));
}

void state_write(struct state_record *record, const struct master_state *state)
{
    sequence_begin(&record->sequence);
    copy(&record->state, state);
    sequence_end(&record->sequence);
}

/* Whoever has written it may be no server at all: no number leads out of its array, no text has no end. */
static void tame(struct master_state *state)
{
    state->pool_count = at_most(state->pool_count, STATE_POOLS_MAX);
    state->listener_count = at_most(state->listener_count, STATE_LISTENERS_MAX);
    state->worker_count = at_most(state->worker_count, STATE_WORKERS_MAX);
    state->version[sizeof(state->version) - 1] = '\0';
    state->phase[sizeof(state->phase) - 1] = '\0';
    state->conf_path[sizeof(state->conf_path) - 1] = '\0';
    for (unsigned i = 0; i < state->pool_count; i++)
        state->pools[i].name[STATE_POOL_SIZE - 1] = '\0';
    for (unsigned i = 0; i < state->worker_count; i++) {
        state->workers[i].pool[STATE_POOL_SIZE - 1] = '\0';
        state->workers[i].state[sizeof(state->workers[i].state) - 1] = '\0';
    }
    for (unsigned i = 0; i < state->listener_count; i++) {
        struct state_listener *listener = &state->listeners[i];
        listener->address_count = at_most(listener->address_count, STATE_ADDRESSES_MAX);
        listener->counter_count = at_most(listener->counter_count, STATE_COUNTERS_MAX);
        listener->name[STATE_NAME_SIZE - 1] = listener->service[STATE_NAME_SIZE - 1] = '\0';
        listener->pool[STATE_POOL_SIZE - 1] = '\0';
        for (unsigned j = 0; j < listener->address_count; j++)
            listener->addresses[j][SOCK_TEXT_SIZE - 1] = '\0';
        for (unsigned j = 0; j < listener->counter_count; j++) {
            listener->counters[j].name[STATE_NAME_SIZE - 1] = '\0';
            listener->counters[j].help[sizeof(listener->counters[j].help) - 1] = '\0';
        }
    }
}

static bool try_read(const struct state_record *record, struct master_state *state, unsigned tries)
{
    bool is_whole = sequence_read(&record->sequence, tries, copy, state, &record->state);

    if (is_whole)
        tame(state);
    return is_whole;
}

bool state_read(const struct state_record *record, struct master_state *state)
{
    return try_read(record, state, SEQUENCE_TRIES);
}

bool state_try_read(const struct state_record *record, struct master_state *state)
{
    return try_read(record, state, SEQUENCE_SPINS);
}
