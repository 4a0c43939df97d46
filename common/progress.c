#include "common/progress.h"
#include <inttypes.h>
#include <string.h>

#include <bsd/string.h>

static const struct state_change *change_of(enum progress_kind kind, const struct stats_area *area)
{
    return kind == PROGRESS_UPGRADE ? &area->service.last_upgrade : &area->service.last_reload;
}

void progress_begin(struct progress *progress, enum progress_kind kind, const char *pool, uint32_t number,
                    const struct stats_area *area, const struct master_state *state)
{
    *progress = (struct progress){.kind = kind,
                                  .number = number,
                                  .changes = kind == PROGRESS_RELOAD ? state->reloads_ended + state->is_reloading
                                                                     : change_of(kind, area)->count,
                                  .serial = area->serials_used,
                                  .reloads = stats_read(&area->service.reloads),
                                  .generation = state->generation};
    strlcpy(progress->pool, pool ? pool : "", sizeof(progress->pool));
}

static bool is_ready(const struct state_worker *worker)
{
    return strcmp(worker->state, "ready") == 0;
}

/* It stays down, whatever is restarted. */
static bool is_down(const struct state_worker *worker)
{
    return strcmp(worker->state, "down") == 0;
}

/* Workers of the generation that starts: all, and those that are ready. */
static void count_starting(const struct master_state *state, unsigned *all, unsigned *ready)
{
    *all = *ready = 0;
    for (unsigned i = 0; i < state->worker_count; i++)
        if (state->workers[i].part == STATE_STARTS) {
            ++*all;
            *ready += is_ready(&state->workers[i]);
        }
}

static unsigned count_leaving(const struct master_state *state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < state->worker_count; i++)
        count += state->workers[i].part == STATE_LEAVES;
    return count;
}

/* Tell how far a reload is; only what has changed. */
static void tell_starting(struct progress *progress, const struct master_state *state, FILE *out)
{
    unsigned all, ready;

    count_starting(state, &all, &ready);
    if (all > 0 && progress->all == 0)
        fprintf(out, "checked; generation %" PRIu32 " starts\n", state->generation + 1);
    if (all > 0 && (all != progress->all || ready != progress->ready))
        fprintf(out, "ready %u of %u\n", ready, all);
    if (all == 0) /* what has been told last is still to be known when they serve */
        return;
    progress->all = all;
    progress->ready = ready;
}

/* What went by between two looks is told as well. */
static void tell_started(const struct progress *progress, const struct master_state *state, FILE *out)
{
    if (state->generation == progress->generation)
        return;
    if (progress->all == 0)
        fprintf(out, "checked; generation %" PRIu32 " starts\n", state->generation);
    if (progress->all == 0 || progress->ready < progress->all)
        fprintf(out, "ready %u of %u\n", state_serving(state), state_serving(state));
    fprintf(out, "generation %" PRIu32 " serves\n", state->generation);
    if (count_leaving(state) > 0)
        fprintf(out, "%u worker%s of the last generation drain\n", count_leaving(state),
                count_leaving(state) == 1 ? "" : "s");
}

static enum progress_result look_at_change(struct progress *progress, const struct stats_area *area,
                                           const struct master_state *state, FILE *out, char *text)
{
    const struct state_change *change = change_of(progress->kind, area);

    tell_starting(progress, state, out);
    if ((int32_t)(change->count - progress->changes) <= 0)
        return PROGRESS_GOES_ON;
    snprintf(text, PROGRESS_TEXT_SIZE, "%.*s", STATE_TEXT_SIZE, change->text);
    if (change->failed)
        return PROGRESS_FAILED;
    if (stats_read(&area->service.reloads) != progress->reloads && state->generation == progress->generation)
        return PROGRESS_GOES_ON; /* the state is about to be written, too */
    if (progress->kind == PROGRESS_RELOAD)
        tell_started(progress, state, out);
    return PROGRESS_DONE;
}

static unsigned count_down(const struct master_state *state, const char *pool)
{
    unsigned count = 0;

    for (unsigned i = 0; i < state->worker_count; i++)
        count += state->workers[i].part == STATE_SERVES && strcmp(state->workers[i].pool, pool) == 0 &&
                 is_down(&state->workers[i]);
    return count;
}

static enum progress_result look_at_pool(struct progress *progress, const struct master_state *state, char *text)
{
    for (unsigned i = 0; i < state->pool_count; i++) {
        const struct state_pool *pool = &state->pools[i];
        if (strcmp(pool->name, progress->pool) != 0 || pool->wanted != progress->number)
            continue;
        snprintf(text, PROGRESS_TEXT_SIZE, "%" PRIu32 " worker%s", pool->wanted, pool->wanted == 1 ? "" : "s");
        return pool->running + count_down(state, pool->name) < pool->wanted ? PROGRESS_GOES_ON : PROGRESS_DONE;
    }
    if (++progress->misses < PROGRESS_MISSES_MAX)
        return PROGRESS_GOES_ON;
    snprintf(text, PROGRESS_TEXT_SIZE, "the pool %s has been resized again meanwhile", progress->pool);
    return PROGRESS_FAILED;
}

static enum progress_result look_at_restart(struct progress *progress, const struct master_state *state, FILE *out,
                                            char *text)
{
    unsigned all = 0, fresh = 0;

    for (unsigned i = 0; i < state->worker_count; i++) {
        const struct state_worker *worker = &state->workers[i];
        if (worker->part != STATE_SERVES || strcmp(worker->pool, progress->pool) != 0 || is_down(worker))
            continue;
        all++;
        fresh += worker->serial > progress->serial && is_ready(worker);
    }
    if (fresh != progress->ready)
        fprintf(out, "ready %u of %u\n", fresh, all);
    progress->ready = fresh;
    snprintf(text, PROGRESS_TEXT_SIZE, "%u worker%s replaced", fresh, fresh == 1 ? "" : "s");
    return fresh == all ? PROGRESS_DONE : PROGRESS_GOES_ON;
}

static enum progress_result look_at_process(const struct progress *progress, const struct master_state *state,
                                            char *text)
{
    for (unsigned i = 0; i < state->worker_count; i++)
        if (state->workers[i].pid == (pid_t)progress->number)
            return PROGRESS_GOES_ON;
    snprintf(text, PROGRESS_TEXT_SIZE, "pid %" PRIu32 " is gone", progress->number);
    return PROGRESS_DONE;
}

enum progress_result progress_look(struct progress *progress, const struct stats_area *area,
                                   const struct master_state *state, FILE *out, char text[PROGRESS_TEXT_SIZE])
{
    switch (progress->kind) {
    case PROGRESS_RESIZE: return look_at_pool(progress, state, text);
    case PROGRESS_RESTART: return look_at_restart(progress, state, out, text);
    case PROGRESS_DRAIN: return look_at_process(progress, state, text);
    default: return look_at_change(progress, area, state, out, text);
    }
}
