/*
 * What is told of a reload, an upgrade, a resize, a restart and a drain, while the state of the master changes step by
 * step: each step once, those that nobody has seen as well, and nothing of what others have asked for.
 */
#include "common/progress.h"
#include "tests/unit/unit.h"
#include <string.h>
#include <sys/mman.h>

#include <bsd/string.h>

static struct stats_area *area;
static struct master_state state;
static struct progress progress;
static char told[4096], text[PROGRESS_TEXT_SIZE];

static struct state_worker *add(const char *pool, enum state_part part, const char *word, uint64_t serial)
{
    struct state_worker *worker = &state.workers[state.worker_count];

    *worker = (struct state_worker){.part = part, .serial = serial, .pid = 1000 + (pid_t)state.worker_count};
    strlcpy(worker->pool, pool, sizeof(worker->pool));
    strlcpy(worker->state, word, sizeof(worker->state));
    state.worker_count++;
    return worker;
}

static void set(unsigned worker, const char *word)
{
    strlcpy(state.workers[worker].state, word, sizeof(state.workers[worker].state));
}

/* Two workers that serve in the pool main, one in another. */
static void begin(void)
{
    area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(area != MAP_FAILED);
    memset(&state, 0, sizeof(state));
    state.generation = 7;
    state.pool_count = 2;
    strlcpy(state.pools[0].name, "main", sizeof(state.pools[0].name));
    strlcpy(state.pools[1].name, "other", sizeof(state.pools[1].name));
    state.pools[0].wanted = state.pools[0].running = 2;
    state.pools[1].wanted = state.pools[1].running = 1;
    add("main", STATE_SERVES, "ready", 1);
    add("main", STATE_SERVES, "ready", 2);
    add("other", STATE_SERVES, "ready", 3);
    area->serials_used = 3;
}

static void end(void)
{
    munmap(area, sizeof(*area));
}

static void start(enum progress_kind kind, const char *pool, uint32_t number)
{
    progress_begin(&progress, kind, pool, number, area, &state);
}

/* Look once: what is printed. */
static void expect(enum progress_result result, const char *lines)
{
    memset(told, 0, sizeof(told));
    text[0] = '\0';
    FILE *out = fmemopen(told, sizeof(told), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(progress_look(&progress, area, &state, out, text), result);
    fclose(out);
    if (strcmp(told, lines) != 0)
        printf("\ntold: %s\n not: %s\n", told, lines);
    CU_ASSERT_STRING_EQUAL(told, lines);
}

static void expect_end(enum progress_result result, const char *lines, const char *sentence)
{
    expect(result, lines);
    CU_ASSERT_STRING_EQUAL(text, sentence);
}

/* ---- a reload ---- */

/* The next generation serves: its workers do, the old ones leave. */
static void take_over(void)
{
    for (unsigned i = 0; i < state.worker_count; i++)
        if (state.workers[i].part != STATE_LEAVES)
            state.workers[i].part = state.workers[i].part == STATE_STARTS ? STATE_SERVES : STATE_LEAVES;
    state.generation++;
}

/* What the master notes at once, before it writes its state. */
static void note_taken_over(void)
{
    atomic_fetch_add(&area->service.reloads, 1);
    state_note_change(&area->service.last_reload, false, "a new generation serves");
}

static void test_reload(void)
{
    begin();
    start(PROGRESS_RELOAD, NULL, 0);
    expect(PROGRESS_GOES_ON, "");
    add("main", STATE_STARTS, "starting", 4);
    add("main", STATE_STARTS, "starting", 5);
    expect(PROGRESS_GOES_ON, "checked; generation 8 starts\nready 0 of 2\n");
    expect(PROGRESS_GOES_ON, "");
    set(3, "ready");
    expect(PROGRESS_GOES_ON, "ready 1 of 2\n");
    add("other", STATE_STARTS, "starting", 6);
    expect(PROGRESS_GOES_ON, "ready 1 of 3\n");
    set(4, "ready");
    set(5, "ready");
    expect(PROGRESS_GOES_ON, "ready 3 of 3\n");
    note_taken_over();
    expect(PROGRESS_GOES_ON, ""); /* the state is written later */
    take_over();
    expect_end(PROGRESS_DONE, "generation 8 serves\n3 workers of the last generation drain\n",
               "a new generation serves");
    end();
}

/* Between two looks everything has happened. */
static void test_a_fast_reload(void)
{
    begin();
    start(PROGRESS_RELOAD, NULL, 0);
    add("main", STATE_STARTS, "ready", 4);
    note_taken_over();
    take_over();
    state.worker_count = 4;
    for (unsigned i = 0; i < 3; i++)
        state.workers[i].part = STATE_LEAVES;
    expect_end(PROGRESS_DONE,
               "checked; generation 8 starts\nready 1 of 1\ngeneration 8 serves\n"
               "3 workers of the last generation drain\n",
               "a new generation serves");
    end();
}

/* The last ones became ready between two looks. */
static void test_the_last_step(void)
{
    begin();
    start(PROGRESS_RELOAD, NULL, 0);
    add("main", STATE_STARTS, "starting", 4);
    expect(PROGRESS_GOES_ON, "checked; generation 8 starts\nready 0 of 1\n");
    state.workers[0] = state.workers[3];
    state.worker_count = 1;
    state.workers[0].part = STATE_SERVES;
    state.generation++;
    note_taken_over();
    expect_end(PROGRESS_DONE, "ready 1 of 1\ngeneration 8 serves\n", "a new generation serves");
    end();
}

static void test_a_reload_that_is_refused(void)
{
    begin();
    state_note_change(&area->service.last_reload, false, "the one before");
    state.reloads_ended = 1;
    start(PROGRESS_RELOAD, NULL, 0);
    expect(PROGRESS_GOES_ON, "");
    state_note_change(&area->service.last_reload, true, "c.conf:3: no");
    expect_end(PROGRESS_FAILED, "", "c.conf:3: no");
    end();
}

static void test_nothing_has_changed(void)
{
    begin();
    start(PROGRESS_RELOAD, NULL, 0);
    state_note_change(&area->service.last_reload, false, "nothing has changed");
    expect_end(PROGRESS_DONE, "", "nothing has changed");
    end();
}

/* One that is under way ends first: that is not the end of ours. */
static void test_a_reload_behind_another(void)
{
    begin();
    state.reloads_ended = 0;
    state.is_reloading = true;
    add("main", STATE_STARTS, "starting", 4);
    start(PROGRESS_RELOAD, NULL, 0);
    expect(PROGRESS_GOES_ON, "checked; generation 8 starts\nready 0 of 1\n");
    note_taken_over();
    take_over();
    expect(PROGRESS_GOES_ON, "");
    state_note_change(&area->service.last_reload, true, "no");
    expect_end(PROGRESS_FAILED, "", "no");
    end();
}

/* It has ended since the state was written: that is known all the same. */
static void test_a_state_of_a_moment_ago(void)
{
    begin();
    state.is_reloading = true;
    note_taken_over();
    start(PROGRESS_RELOAD, NULL, 0);
    expect(PROGRESS_GOES_ON, "");
    state_note_change(&area->service.last_reload, false, "nothing has changed");
    take_over();
    expect_end(PROGRESS_DONE,
               "checked; generation 8 starts\nready 0 of 0\ngeneration 8 serves\n"
               "3 workers of the last generation drain\n",
               "nothing has changed");
    end();
}

/* ---- an upgrade ---- */

static void test_upgrade(void)
{
    begin();
    state_note_change(&area->service.last_upgrade, true, "the one before");
    start(PROGRESS_UPGRADE, NULL, 0);
    state_note_change(&area->service.last_reload, false, "a reload is none");
    expect(PROGRESS_GOES_ON, "");
    state_note_change(&area->service.last_upgrade, false, "a new binary serves");
    state.generation++;
    expect_end(PROGRESS_DONE, "", "a new binary serves"); /* a generation of its own, but no reload */
    start(PROGRESS_UPGRADE, NULL, 0);
    state_note_change(&area->service.last_upgrade, true, "it exits with code 1");
    expect_end(PROGRESS_FAILED, "", "it exits with code 1");
    end();
}

/* ---- a resize ---- */

static void test_resize(void)
{
    begin();
    start(PROGRESS_RESIZE, "main", 3);
    expect(PROGRESS_GOES_ON, "");
    state.pools[0].wanted = 3;
    expect(PROGRESS_GOES_ON, "");
    state.pools[0].running = 3;
    expect_end(PROGRESS_DONE, "", "3 workers");
    start(PROGRESS_RESIZE, "other", 1); /* as it is */
    expect_end(PROGRESS_DONE, "", "1 worker");
    end();
}

/* A worker that stays down is waited for by nobody, when it is of this pool, and serves. */
static void test_resize_with_a_worker_that_is_down(void)
{
    begin();
    start(PROGRESS_RESIZE, "main", 3);
    state.pools[0].wanted = 3;
    set(2, "down");
    add("main", STATE_LEAVES, "down", 9);
    expect(PROGRESS_GOES_ON, "");
    add("main", STATE_SERVES, "down", 10);
    expect_end(PROGRESS_DONE, "", "3 workers");
    end();
}

/* The state may be written later than the answer, but not much. */
static void test_resized_by_somebody_else(void)
{
    begin();
    start(PROGRESS_RESIZE, "main", 3);
    for (unsigned i = 1; i < PROGRESS_MISSES_MAX; i++)
        expect(PROGRESS_GOES_ON, "");
    expect_end(PROGRESS_FAILED, "", "the pool main has been resized again meanwhile");
    start(PROGRESS_RESIZE, "main", 3);
    state.pools[0].wanted = 3;
    for (unsigned i = 0; i < 2 * PROGRESS_MISSES_MAX; i++) /* a worker may take long */
        expect(PROGRESS_GOES_ON, "");
    state.pool_count = 0; /* a reload has no such pool any more */
    for (unsigned i = 1; i < PROGRESS_MISSES_MAX; i++)
        expect(PROGRESS_GOES_ON, "");
    expect(PROGRESS_FAILED, "");
    end();
}

/* ---- a restart ---- */

static void test_restart(void)
{
    begin();
    start(PROGRESS_RESTART, "main", 0);
    expect(PROGRESS_GOES_ON, "");
    state.workers[0].part = STATE_LEAVES;
    add("main", STATE_SERVES, "starting", 4);
    expect(PROGRESS_GOES_ON, "");
    set(3, "ready");
    expect(PROGRESS_GOES_ON, "ready 1 of 2\n");
    expect(PROGRESS_GOES_ON, "");
    state.workers[1].serial = 5;
    expect_end(PROGRESS_DONE, "ready 2 of 2\n", "2 workers replaced");
    end();
}

static void test_restart_with_a_worker_that_is_down(void)
{
    begin();
    set(0, "down");
    start(PROGRESS_RESTART, "main", 0);
    expect(PROGRESS_GOES_ON, "");
    state.workers[1].serial = 4;
    expect_end(PROGRESS_DONE, "ready 1 of 1\n", "1 worker replaced");
    end();
}

static void test_restart_of_nobody(void)
{
    begin();
    start(PROGRESS_RESTART, "none", 0);
    expect_end(PROGRESS_DONE, "", "0 workers replaced");
    end();
}

/* ---- a drain ---- */

static void test_drain(void)
{
    begin();
    start(PROGRESS_DRAIN, NULL, 1001);
    expect(PROGRESS_GOES_ON, "");
    state.workers[1].part = STATE_LEAVES;
    expect(PROGRESS_GOES_ON, "");
    state.workers[1] = state.workers[2];
    state.worker_count = 2;
    expect_end(PROGRESS_DONE, "", "pid 1001 is gone");
    end();
}

/* Whoever has written the area: no text leads out of it. */
static void test_an_endless_text(void)
{
    begin();
    start(PROGRESS_RELOAD, NULL, 0);
    memset(area->service.last_reload.text, 'x', STATE_TEXT_SIZE);
    area->service.last_reload.count = 1;
    expect(PROGRESS_DONE, "");
    CU_ASSERT_EQUAL(strlen(text), STATE_TEXT_SIZE);
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"reload", test_reload},
        {"a fast reload", test_a_fast_reload},
        {"the last step", test_the_last_step},
        {"a reload that is refused", test_a_reload_that_is_refused},
        {"nothing has changed", test_nothing_has_changed},
        {"a reload behind another", test_a_reload_behind_another},
        {"a state of a moment ago", test_a_state_of_a_moment_ago},
        {"upgrade", test_upgrade},
        {"resize", test_resize},
        {"resize with a worker that is down", test_resize_with_a_worker_that_is_down},
        {"resized by somebody else", test_resized_by_somebody_else},
        {"restart", test_restart},
        {"restart with a worker that is down", test_restart_with_a_worker_that_is_down},
        {"restart of nobody", test_restart_of_nobody},
        {"drain", test_drain},
        {"an endless text", test_an_endless_text},
        {0},
    };
    return unit_main("progress", tests);
}
