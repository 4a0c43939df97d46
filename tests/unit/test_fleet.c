/*
 * The fleet with processes that do nothing: they pause, or end as the test wants. Starting, replacing, retiring, the
 * rollout of a next generation, and a change of the number.
 */
#include "common/clock.h"
#include "common/log.h"
#include "common/stats_number.h"
#include "master/process.h"
#include "master/readiness.h"
#include "master/recycle.h"
#include "master/resize.h"
#include "master/rollout.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <bsd/string.h>

enum { WORKERS = 3, MANY = 40, NONE = -1 };

static struct fleet fleet;
static const struct service test_service = {.name = "test"};
static struct listener_config listener = {.service = &test_service};
static int exit_code; /* of children that are started from now on; NONE: they pause */
static char error[256];

/* In a child, before it would become a worker. */
static void be_idle(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test crash */
    if (exit_code != NONE)
        _exit(exit_code);
    for (;;)
        pause();
}

static struct generation *new_generation(unsigned workers)
{
    struct generation *generation = generation_new(0);

    CU_ASSERT_PTR_NOT_NULL_FATAL(generation);
    generation->conf.pool_count = 1;
    generation->conf.pools[0] = (struct pool_config){
        .name = "main", .listener_count = 1, .workers = workers, .adopt_after_ms = 250, .watchdog_timeout_ms = 5000};
    strlcpy(generation->conf.log, "/dev/null", sizeof(generation->conf.log));
    return generation;
}

static void begin(unsigned workers)
{
    memset(&fleet, 0, sizeof(fleet));
    exit_code = NONE;
    fleet.context.stats = stats_without_file();
    CU_ASSERT_PTR_NOT_NULL_FATAL(fleet.context.stats);
    fleet.context.endpoints = &fleet.endpoints;
    fleet.context.in_child = be_idle;
    fleet.context.now_ms = clock_now_ms();
    fleet.current = new_generation(workers);
    fleet.current->number = fleet_next_number(&fleet);
    fleet_start(&fleet, fleet.current, &workers, RESPAWN_none);
}

static void ended(void *user, pid_t pid, int status)
{
    struct slot *slot = fleet_find(&fleet, pid);

    CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
    slot_reaped(&fleet.context, slot, &status);
    ++*(unsigned *)user;
}

/* Wait until so many processes have ended. */
static void reap(unsigned count)
{
    unsigned reaped = 0;

    for (unsigned ms = 0; ms < 5000 && reaped < count; ms++) {
        usleep(1000);
        process_reap(ended, &reaped);
    }
    CU_ASSERT(reaped >= count); /* replacements may have ended, too */
}

static unsigned visits;

static void count_process(struct fleet *of, struct slot *slot)
{
    CU_ASSERT_PTR_EQUAL(of, &fleet);
    visits += slot->pid > 0;
}

static unsigned processes(void)
{
    visits = 0;
    fleet_each_slot(&fleet, count_process);
    return visits;
}

static unsigned leaving(void)
{
    const struct slot *slot;
    unsigned count = 0;

    LIST_FOREACH(slot, &fleet.leaving, link)
        count++;
    return count;
}

static void ready(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->pool_count; i++)
        for (unsigned j = 0; j < generation->pools[i].count; j++)
            fleet_handle(&fleet, generation->pools[i].slots[j], SUPERVISOR_EVENT_READY);
}

static unsigned running(void)
{
    generation_note_running(fleet.current);
    return fleet.current->pools[0].running;
}

static void end(void)
{
    rollout_give_up(&fleet, "the test is over");
    fleet_retire_all(&fleet, fleet.current);
    fleet_kill(&fleet);
    reap(processes());
    fleet_free_gone_slots(&fleet);
    CU_ASSERT_TRUE(LIST_EMPTY(&fleet.leaving));
    CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    generation_free(fleet.current);
    munmap(fleet.context.stats, sizeof(struct stats_area));
}

/* ---- more and fewer ---- */

static void test_start(void)
{
    begin(WORKERS);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, WORKERS);
    CU_ASSERT_EQUAL(processes(), WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct slot *slot = fleet.current->pools[0].slots[i];
        CU_ASSERT_EQUAL(slot->id, i);
        CU_ASSERT_PTR_EQUAL(fleet_find(&fleet, slot->pid), slot);
    }
    CU_ASSERT_PTR_NULL(fleet_find(&fleet, getpid()));
    CU_ASSERT_EQUAL(running(), 0);
    ready(fleet.current);
    CU_ASSERT_EQUAL(running(), WORKERS);
    CU_ASSERT_EQUAL(fleet_start_some(&fleet, fleet.current), FLEET_DONE);
    end();
}

/* The loop must go on meanwhile. */
static void test_start_many(void)
{
    begin(MANY);
    unsigned turns = 1, before = fleet.current->pools[0].count;
    CU_ASSERT(before > 0 && before < MANY);
    while (fleet_start_some(&fleet, fleet.current) == FLEET_MORE)
        turns++;
    CU_ASSERT_EQUAL(turns, (MANY - 1) / before);
    CU_ASSERT_EQUAL(processes(), MANY);
    end();
}

static void test_add_and_retire(void)
{
    begin(1);
    CU_ASSERT_EQUAL(fleet_add(&fleet, &fleet.current->pools[0], RESPAWN_resize, error, sizeof(error)), 0);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 2);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->totals[1].respawns[RESPAWN_resize]), 1);
    struct slot *slot = fleet.current->pools[0].slots[1];
    fleet_retire_last(&fleet, &fleet.current->pools[0]);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 1);
    CU_ASSERT_EQUAL(slot->supervised.state, SUPERVISOR_STOPPING);
    CU_ASSERT_PTR_NULL(slot->conf);
    CU_ASSERT_EQUAL(leaving(), 1);
    fleet_free_gone_slots(&fleet); /* it drains: nothing is freed */
    CU_ASSERT_EQUAL(leaving(), 1);
    fleet_hurry(&fleet);
    kill(slot->pid, SIGTERM);
    reap(1);
    fleet_free_gone_slots(&fleet);
    CU_ASSERT_EQUAL(leaving(), 0);
    end();
}

/* A worker that drains at a signal, or by itself. */
static void test_replace(void)
{
    begin(WORKERS);
    struct slot *slot = fleet.current->pools[0].slots[1];
    fleet_replace(&fleet, slot);
    CU_ASSERT_PTR_NOT_EQUAL(fleet.current->pools[0].slots[1], slot);
    CU_ASSERT_EQUAL(fleet.current->pools[0].slots[1]->id, 1);
    CU_ASSERT_EQUAL(leaving(), 1);
    CU_ASSERT_EQUAL(processes(), WORKERS + 1);
    fleet_replace(&fleet, slot); /* it leaves already */
    CU_ASSERT_EQUAL(processes(), WORKERS + 1);
    fleet.current->pools[0].slots[2]->replace_due = true;
    fleet_retry_replacements(&fleet);
    fleet_retry_replacements(&fleet);
    CU_ASSERT_EQUAL(processes(), WORKERS + 2);
    end();
}

static void test_deaths(void)
{
    begin(WORKERS);
    ready(fleet.current);
    kill(fleet.current->pools[0].slots[0]->pid, SIGKILL);
    reap(1);
    CU_ASSERT_EQUAL(processes(), WORKERS); /* started again at once */
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->totals[0].respawns[RESPAWN_signal]), 1);
    exit_code = WORKER_EXIT_STAY_DOWN;
    for (unsigned i = 0; i < WORKERS; i++)
        kill(fleet.current->pools[0].slots[i]->pid, SIGKILL);
    reap(WORKERS);                                                                 /* their replacements give up, */
    for (unsigned ms = 0; ms < 5000 && !generation_is_down(fleet.current); ms++) { /* now or after a pause */
        unsigned reaped = 0;
        usleep(1000);
        fleet.context.now_ms = clock_now_ms();
        for (unsigned i = 0; i < WORKERS; i++)
            slot_tick(&fleet.context, fleet.current->pools[0].slots[i]);
        process_reap(ended, &reaped);
    }
    CU_ASSERT_TRUE(generation_is_down(fleet.current));
    end();
}

/* A SIGCHLD can get lost, and somebody else can have had the status. */
static void test_ends(void)
{
    int status;

    begin(1);
    pid_t pid = fleet.current->pools[0].slots[0]->pid;
    CU_ASSERT_EQUAL(process_check(pid, true, &status), PROCESS_LIVES);
    CU_ASSERT_EQUAL(process_check(pid, false, &status), PROCESS_LIVES);
    kill(pid, SIGKILL);
    enum process_end end_of = PROCESS_LIVES;
    for (unsigned ms = 0; ms < 5000 && end_of == PROCESS_LIVES; ms++) {
        usleep(1000);
        end_of = process_check(pid, true, &status);
    }
    CU_ASSERT_EQUAL(end_of, PROCESS_ENDED);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CU_ASSERT_EQUAL(process_check(pid, true, &status), PROCESS_GONE);
    CU_ASSERT_EQUAL(process_check(getppid(), true, &status), PROCESS_LIVES); /* no child, but somebody */
    slot_reaped(&fleet.context, fleet.current->pools[0].slots[0], NULL);
    end();
}

/* ---- the next generation ---- */

static void test_rollout(void)
{
    begin(WORKERS);
    struct generation *next = new_generation(2);
    rollout_start(&fleet, next);
    CU_ASSERT_PTR_EQUAL(fleet.next, next);
    CU_ASSERT_EQUAL(next->number, 2);
    CU_ASSERT_EQUAL(processes(), WORKERS + 2);
    rollout_check(&fleet);
    CU_ASSERT_PTR_EQUAL(fleet.next, next); /* not READY yet */
    ready(next);
    rollout_check(&fleet);
    CU_ASSERT_PTR_EQUAL(fleet.current, next);
    CU_ASSERT_PTR_NULL(fleet.next);
    CU_ASSERT_EQUAL(next->pools[0].running, 2); /* nobody is told that a pool has no worker that is ready */
    CU_ASSERT_EQUAL(leaving(), WORKERS);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->service.reloads), 1);
    rollout_check(&fleet); /* nothing is under way */
    end();
}

static void test_late_rollout(void)
{
    begin(1);
    struct generation *current = fleet.current;
    rollout_start(&fleet, new_generation(2));
    fleet.next_due_ms = 1;
    rollout_check(&fleet);
    CU_ASSERT_PTR_NULL(fleet.next);
    CU_ASSERT_PTR_EQUAL(fleet.current, current);
    CU_ASSERT_EQUAL(leaving(), 2);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->service.reload_failures), 1);
    rollout_give_up(&fleet, "there is none");
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->service.reload_failures), 1);
    end();
}

/* ---- the number of workers ---- */

static void test_resize(void)
{
    begin(1);
    ready(fleet.current);
    resize_by(&fleet, -1, false); /* the last one stays */
    resize_by(&fleet, 1, true);   /* something is under way */
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 1);
    resize_by(&fleet, 1, false);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 2);
    CU_ASSERT_EQUAL(fleet.current->pools[0].wanted, 2);
    fleet.current->pools[0].slots[0]->supervised.state = SUPERVISOR_DOWN; /* then the other one must stay */
    resize_by(&fleet, -1, false);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 2);
    fleet.current->pools[0].slots[0]->supervised.state = SUPERVISOR_RUNNING;
    resize_by(&fleet, -1, false);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, 1);
    fleet.current->conf.pools[0].workers = WORKERS;
    resize_to_configured(&fleet);
    resize_by(&fleet, 1, false); /* the start goes on */
    CU_ASSERT_EQUAL(fleet.current->pools[0].wanted, WORKERS);
    CU_ASSERT_EQUAL(fleet_start_some(&fleet, fleet.current), FLEET_DONE);
    CU_ASSERT_EQUAL(fleet.current->pools[0].count, WORKERS);
    resize_to_configured(&fleet);
    CU_ASSERT_EQUAL(fleet.current->pools[0].wanted, WORKERS);
    end();
}

/* ---- pools ---- */

enum { MAIN, OTHER, POOLS };

/* Two pools, the second of one worker. */
static struct generation *new_pools(unsigned workers, bool single)
{
    struct generation *generation = new_generation(workers);

    generation->conf.pool_count = POOLS;
    generation->conf.pools[OTHER] = generation->conf.pools[MAIN];
    strlcpy(generation->conf.pools[OTHER].name, "other", POOL_NAME_SIZE);
    generation->conf.pools[OTHER].workers = 1;
    generation->conf.pools[OTHER].single = single;
    return generation;
}

static void begin_pools(bool single)
{
    static const unsigned workers[POOLS] = {2, 1};

    begin(0);
    generation_free(fleet.current);
    fleet.current = new_pools(2, single);
    fleet.current->number = 1;
    fleet_start(&fleet, fleet.current, workers, RESPAWN_none);
    CU_ASSERT_EQUAL(processes(), 3);
}

static struct slot *other_of(const struct generation *generation)
{
    return generation->pools[OTHER].count ? generation->pools[OTHER].slots[0] : NULL;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    reap(1);
    fleet_free_gone_slots(&fleet);
}

static void test_pools(void)
{
    begin_pools(false);
    struct slot *other = other_of(fleet.current);
    CU_ASSERT_EQUAL(other->id, 0);
    CU_ASSERT_STRING_EQUAL(other->name, "other worker 0");
    CU_ASSERT_STRING_EQUAL(fleet.current->pools[MAIN].slots[1]->name, "worker 1");
    CU_ASSERT_EQUAL(stats_find(fleet.context.stats, "other", 0), (int)other->number);
    ready(fleet.current);
    generation_note_running(fleet.current);
    CU_ASSERT(fleet.current->pools[MAIN].running == 2 && fleet.current->pools[OTHER].running == 1);
    struct readiness readiness = readiness_of(fleet.current);
    CU_ASSERT(readiness.ready == 3 && readiness.all && !readiness.cannot);
    other->supervised.state = SUPERVISOR_DOWN; /* the others are served */
    readiness = readiness_of(fleet.current);
    CU_ASSERT(readiness.ready == 2 && readiness.all && readiness.cannot == &fleet.current->pools[OTHER]);
    CU_ASSERT_FALSE(generation_is_down(fleet.current));
    for (unsigned i = 0; i < 2; i++)
        fleet.current->pools[MAIN].slots[i]->supervised.state = SUPERVISOR_DOWN;
    CU_ASSERT_TRUE(generation_is_down(fleet.current));
    for (unsigned i = 0; i < 2; i++)
        fleet.current->pools[MAIN].slots[i]->supervised.state = SUPERVISOR_RUNNING;
    other->supervised = (struct supervisor_slot){.state = SUPERVISOR_SLOW, .crashes = 7};
    CU_ASSERT_FALSE(readiness_of(fleet.current).all); /* that may pass */
    other->supervised.crashes = 8;
    CU_ASSERT_TRUE(readiness_of(fleet.current).all);
    other->supervised.state = SUPERVISOR_RUNNING;
    resize_by(&fleet, 1, false);
    CU_ASSERT(fleet.current->pools[MAIN].count == 3 && fleet.current->pools[OTHER].count == 1);
    end();
}

/* All others first, then the old one leaves, then the new one comes, then the change is in effect. */
static void test_single_rollout(void)
{
    begin_pools(true);
    ready(fleet.current);
    struct generation *next = new_pools(1, true), *current = fleet.current;
    pid_t old = other_of(current)->pid;
    rollout_start(&fleet, next);
    CU_ASSERT_PTR_NULL(other_of(next));
    rollout_check(&fleet);
    CU_ASSERT_FALSE(current->pools[OTHER].held); /* the others are not READY */
    ready(next);
    rollout_check(&fleet);
    CU_ASSERT_TRUE(current->pools[OTHER].held);
    CU_ASSERT_FALSE(generation_is_down(current));
    CU_ASSERT_EQUAL(leaving(), 1);
    fleet_start_some(&fleet, current);
    rollout_start_some(&fleet);
    CU_ASSERT(!other_of(next) && !other_of(current)); /* it drains */
    end_process(old);
    fleet_start_some(&fleet, current);
    rollout_start_some(&fleet);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other_of(next));
    CU_ASSERT_PTR_NULL(other_of(current));
    rollout_check(&fleet);
    CU_ASSERT_PTR_EQUAL(fleet.next, next);
    fleet_handle(&fleet, other_of(next), SUPERVISOR_EVENT_READY);
    rollout_check(&fleet);
    CU_ASSERT_PTR_EQUAL(fleet.current, next);
    end();
}

static void test_single_that_cannot_start(void)
{
    begin_pools(true);
    ready(fleet.current);
    struct generation *next = new_pools(1, true), *current = fleet.current;
    pid_t old = other_of(current)->pid;
    rollout_start(&fleet, next);
    ready(next);
    rollout_check(&fleet);
    end_process(old);
    rollout_start_some(&fleet);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other_of(next));
    pid_t failed = other_of(next)->pid;
    rollout_give_up(&fleet, "it is said to have failed");
    fleet_start_some(&fleet, current);
    CU_ASSERT_PTR_NULL(other_of(current)); /* the new one still drains */
    end_process(failed);
    fleet_start_some(&fleet, current);
    CU_ASSERT_PTR_NOT_NULL(other_of(current));
    CU_ASSERT_FALSE(current->pools[OTHER].held);
    end();
}

/* A second later. */
static void check_recycling(void)
{
    fleet.context.now_ms += 1000;
    recycle_check(&fleet);
}

/* Where there may be only one, the next one comes when it is gone. */
static void test_recycle(void)
{
    begin_pools(true);
    ready(fleet.current);
    fleet.current->conf.pools[MAIN].recycle_sessions = 100;
    fleet.current->conf.pools[OTHER].recycle_memory = 1; /* whoever it is */
    struct pool *pool = &fleet.current->pools[MAIN];
    struct slot *first = pool->slots[0], *second = pool->slots[1];
    stats_count(&first->block->listeners[3].accepted, 99);
    stats_count(&second->block->listeners[3].accepted, 100);
    pid_t old = other_of(fleet.current)->pid;
    check_recycling();
    CU_ASSERT(pool->slots[0] == first && pool->slots[1] != second);
    CU_ASSERT_PTR_NULL(other_of(fleet.current));
    CU_ASSERT_EQUAL(leaving(), 2);
    stats_count(&first->block->listeners[3].accepted, 1);
    check_recycling(); /* one at a time */
    CU_ASSERT_PTR_EQUAL(pool->slots[0], first);
    end_process(second->pid);
    fleet_start_some(&fleet, fleet.current);
    CU_ASSERT_PTR_NULL(other_of(fleet.current));
    end_process(old);
    fleet_start_some(&fleet, fleet.current);
    CU_ASSERT_PTR_NOT_NULL(other_of(fleet.current));
    check_recycling(); /* its replacement is not READY */
    CU_ASSERT_PTR_EQUAL(pool->slots[0], first);
    fleet_handle(&fleet, pool->slots[1], SUPERVISOR_EVENT_READY);
    recycle_check(&fleet); /* it has been looked at a moment ago */
    CU_ASSERT_PTR_EQUAL(pool->slots[0], first);
    fleet_handle(&fleet, other_of(fleet.current), SUPERVISOR_EVENT_READY);
    const struct slot *too_large = other_of(fleet.current);
    check_recycling();
    CU_ASSERT_PTR_NOT_EQUAL(pool->slots[0], first);
    CU_ASSERT_PTR_EQUAL(other_of(fleet.current), too_large); /* it would be again at once */
    fleet.context.now_ms += 60000;
    check_recycling();
    CU_ASSERT_PTR_NULL(other_of(fleet.current));
    end();
}

/* ---- what an operator asks for ---- */

/* Those that have been started since. */
static void ready_started(void)
{
    for (unsigned i = 0; i < fleet.current->pool_count; i++)
        for (unsigned j = 0; j < fleet.current->pools[i].count; j++)
            if (fleet.current->pools[i].slots[j]->supervised.state == SUPERVISOR_STARTING)
                fleet_handle(&fleet, fleet.current->pools[i].slots[j], SUPERVISOR_EVENT_READY);
}

static void check_resize(struct pool *pool, unsigned count, const char *refusal)
{
    unsigned before = pool->wanted;

    error[0] = '\0';
    CU_ASSERT_EQUAL(resize_to(&fleet, pool, count, error, sizeof(error)), refusal[0] ? -1 : 0);
    CU_ASSERT_STRING_EQUAL(error, refusal);
    CU_ASSERT_EQUAL(pool->wanted, refusal[0] ? before : count);
}

/* Any number of any pool. */
static void test_resize_to(void)
{
    begin_pools(false);
    ready(fleet.current);
    struct pool *pool = &fleet.current->pools[OTHER];
    check_resize(pool, 1, ""); /* as it is */
    CU_ASSERT_EQUAL(processes(), 3);
    check_resize(pool, 4, "");
    CU_ASSERT_EQUAL(pool->count, 2); /* the rest by the loop */
    check_resize(pool, 2, resize_busy);
    CU_ASSERT_EQUAL(fleet_start_some(&fleet, fleet.current), FLEET_DONE);
    CU_ASSERT(pool->count == 4 && processes() == 6 && leaving() == 0);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->totals[pool->slots[3]->number].respawns[RESPAWN_resize]), 1);
    ready_started();
    check_resize(pool, 1, "");
    CU_ASSERT(pool->count == 1 && leaving() == 3);
    CU_ASSERT_EQUAL(fleet.current->pools[MAIN].count, 2);
    end();
}

/* A worker that has been taken over may ask for any number. */
static void test_resize_to_numbers_that_cannot_be(void)
{
    begin_pools(false);
    ready(fleet.current);
    struct pool *pool = &fleet.current->pools[OTHER];
    check_resize(pool, 0, "1 workers is the limit");
    check_resize(pool, 1023, "1022 workers is the limit");
    check_resize(pool, 1025, "1022 workers is the limit");
    check_resize(pool, INT32_MAX, "1022 workers is the limit");
    check_resize(pool, UINT32_MAX, "1022 workers is the limit");
    check_resize(pool, UINT32_MAX - 1, "1022 workers is the limit");
    check_resize(&fleet.current->pools[MAIN], 1024, "1023 workers is the limit");
    CU_ASSERT_EQUAL(processes(), 3);
    check_resize(pool, 1022, "");
    CU_ASSERT_EQUAL(pool->count, 2);
    pool->wanted = 2;
    end();
}

static void test_resize_to_what_a_pool_cannot_have(void)
{
    begin_pools(true);
    ready(fleet.current);
    struct pool *pool = &fleet.current->pools[OTHER];
    check_resize(pool, 2, "the pool other is single");
    check_resize(pool, 1, "");
    fleet.current->conf.pools[OTHER].listener_count = 0;
    check_resize(pool, 1, "the pool other has no listener");
    fleet.current->conf.pools[OTHER].listener_count = 1;
    pool = &fleet.current->pools[MAIN];
    pool->slots[0]->supervised.state = SUPERVISOR_DOWN;
    check_resize(pool, 1, "all other workers stay down");
    CU_ASSERT_EQUAL(pool->count, 2);
    pool->slots[0]->supervised.state = SUPERVISOR_RUNNING;
    end();
}

/* A moment later, as often as there would be something to do. */
static void restart_more(void)
{
    for (unsigned i = 0; i < 20; i++) {
        fleet.context.now_ms += 20;
        recycle_check(&fleet);
    }
}

/* One after the other: the next one when the last one has drained, and its replacement is READY. */
static void test_restart(void)
{
    begin_pools(false);
    ready(fleet.current);
    struct pool *pool = &fleet.current->pools[MAIN];
    struct slot *old[] = {pool->slots[0], pool->slots[1]}, *other = other_of(fleet.current);
    old[1]->supervised.started_ms--;
    pid_t pids[] = {old[0]->pid, old[1]->pid};
    restart_more(); /* nobody has asked */
    CU_ASSERT_EQUAL(leaving(), 0);
    recycle_restart(&fleet, pool);
    recycle_check(&fleet); /* at once, and the oldest first */
    CU_ASSERT(pool->slots[0] == old[0] && pool->slots[1] != old[1] && leaving() == 1);
    fleet_handle(&fleet, pool->slots[1], SUPERVISOR_EVENT_READY);
    restart_more();
    CU_ASSERT_EQUAL(leaving(), 1); /* it drains */
    end_process(pids[1]);
    pool->slots[1]->supervised.state = SUPERVISOR_SILENT;
    restart_more();
    CU_ASSERT_EQUAL(leaving(), 0);
    pool->slots[1]->supervised.state = SUPERVISOR_RUNNING;
    struct slot *fresh = pool->slots[1];
    restart_more();
    CU_ASSERT(pool->slots[0] != old[0] && leaving() == 1);
    end_process(pids[0]);
    ready_started();
    struct slot *last = pool->slots[0];
    restart_more(); /* the new ones stay, and so does the other pool */
    CU_ASSERT(pool->slots[0] == last && pool->slots[1] == fresh && other_of(fleet.current) == other);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->totals[last->number].respawns[RESPAWN_operator]), 1);
    CU_ASSERT_EQUAL(stats_read(&fleet.context.stats->totals[last->number].respawns[RESPAWN_recycle]), 0);
    end();
}

/* Who stays down is passed over, and a worker that is added meanwhile is new enough. */
static void test_restart_with_others(void)
{
    begin_pools(false);
    ready(fleet.current);
    struct pool *pool = &fleet.current->pools[MAIN];
    struct slot *old = pool->slots[0], *down = pool->slots[1];
    enum supervisor_state before = down->supervised.state;
    pid_t pid = old->pid;
    recycle_restart(&fleet, pool);
    down->supervised.state = SUPERVISOR_DOWN;
    check_resize(pool, 3, "");
    struct slot *added = pool->slots[2];
    restart_more();
    CU_ASSERT_EQUAL(leaving(), 0); /* that one is not READY yet */
    ready_started();
    restart_more();
    CU_ASSERT(leaving() == 1 && pool->slots[0] != old);
    end_process(pid);
    fleet_handle(&fleet, pool->slots[0], SUPERVISOR_EVENT_READY);
    restart_more();
    CU_ASSERT(leaving() == 0 && pool->slots[1] == down && pool->slots[2] == added);
    down->supervised.state = before;
    end();
}

static void test_restart_of_a_single_pool(void)
{
    begin_pools(true);
    ready(fleet.current);
    pid_t pid = other_of(fleet.current)->pid;
    recycle_restart(&fleet, &fleet.current->pools[OTHER]);
    recycle_check(&fleet);
    CU_ASSERT_PTR_NULL(other_of(fleet.current));
    end_process(pid);
    fleet_start_some(&fleet, fleet.current);
    struct slot *fresh = other_of(fleet.current);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fresh);
    fleet_handle(&fleet, fresh, SUPERVISOR_EVENT_READY);
    restart_more();
    CU_ASSERT_PTR_EQUAL(other_of(fleet.current), fresh);
    end();
}

/* ---- the places of listeners in the statistics ---- */

static void test_index_of_listeners(void)
{
    begin(1);
    struct conf conf = {.listeners = &listener, .listener_count = 1};
    strlcpy(listener.name, "one", sizeof(listener.name));
    CU_ASSERT_EQUAL(fleet_index_listeners(&fleet, &conf, error, sizeof(error)), 0);
    unsigned index = listener.index;
    CU_ASSERT_STRING_EQUAL(fleet.context.stats->names[index], "one");
    listener.index = STATS_LISTENERS_MAX;
    CU_ASSERT_EQUAL(fleet_index_listeners(&fleet, &conf, error, sizeof(error)), 0);
    CU_ASSERT_EQUAL(listener.index, index);
    /* Another service counts otherwise: it has a place of its own. */
    static const struct counter_row jobs[] = {{"jobs", "done"}, {0}}, mails[] = {{"mails", "sent"}, {0}};
    static const struct service one = {.name = "one", .counters = jobs}, two = {.name = "two", .counters = mails};
    unsigned places[2];
    for (unsigned i = 0; i < 2; i++) {
        listener.service = i ? &two : &one;
        CU_ASSERT_EQUAL(fleet_index_listeners(&fleet, &conf, error, sizeof(error)), 0);
        places[i] = listener.index;
    }
    CU_ASSERT(places[0] != places[1] && places[0] != index && places[1] != index);
    listener.service = &one;
    CU_ASSERT_EQUAL(fleet_index_listeners(&fleet, &conf, error, sizeof(error)), 0);
    CU_ASSERT_EQUAL(listener.index, places[0]);
    listener.service = &test_service;
    end();
}

static void test_too_many_listeners(void)
{
    static struct listener_config many[STATS_LISTENERS_MAX + 1];

    begin(1);
    struct conf conf = {.listeners = many, .listener_count = STATS_LISTENERS_MAX + 1};
    for (unsigned i = 0; i < conf.listener_count; i++) {
        many[i].service = &test_service;
        snprintf(many[i].name, sizeof(many[i].name), "listener %u", i);
    }
    CU_ASSERT_EQUAL(fleet_index_listeners(&fleet, &conf, error, sizeof(error)), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "more than"));
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"start", test_start},
        {"start many", test_start_many},
        {"add and retire", test_add_and_retire},
        {"replace", test_replace},
        {"deaths", test_deaths},
        {"ends", test_ends},
        {"rollout", test_rollout},
        {"late rollout", test_late_rollout},
        {"resize", test_resize},
        {"pools", test_pools},
        {"single rollout", test_single_rollout},
        {"single that cannot start", test_single_that_cannot_start},
        {"recycle", test_recycle},
        {"resize to", test_resize_to},
        {"resize to numbers that cannot be", test_resize_to_numbers_that_cannot_be},
        {"resize to what a pool cannot have", test_resize_to_what_a_pool_cannot_have},
        {"restart", test_restart},
        {"restart with others", test_restart_with_others},
        {"restart of a single pool", test_restart_of_a_single_pool},
        {"index of listeners", test_index_of_listeners},
        {"too many listeners", test_too_many_listeners},
        {0},
    };

    log_open("/dev/null");
    if (log_open("/dev/null") < 0) /* one descriptor, as often as a test opens it */
        return EXIT_FAILURE;
    return unit_main("fleet", tests);
}
