#include "bench/client.h"
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    PACE_SESSIONS = 64, /* connections that are opened in a row before the server gets a moment to accept them */
    PACE_PAUSE_US = 1000,
    START_SESSIONS = 64,      /* that send their first batch in one pass: all at once would be a load of its own kind */
    CHECK_MS = 100,           /* the longest sleep, so that a stall is noticed */
    DRAIN_PATIENCE_S = 2,     /* no byte for so long after the end: what is missing is lost */
    COUNTING_PATIENCE_S = 30, /* the same with a number of batches: the server may run under a debugger */
};

static const uint64_t second_ns = 1000000000;

static void open_sessions(struct worker *worker)
{
    const bool connects = worker->run->config->mode != MODE_CONNECT;

    worker->unfinished_sessions = worker->session_count;
    for (uint32_t i = 0; i < worker->session_count; i++)
        session_init(worker, &worker->sessions[i], worker->first_session + i);
    for (uint32_t i = 0; connects && i < worker->session_count; i++) {
        if (session_open(worker, &worker->sessions[i]) == -1)
            return; /* one is enough: the run is abandoned */
        if (i % PACE_SESSIONS == PACE_SESSIONS - 1)
            usleep(PACE_PAUSE_US);
    }
}

static void close_sessions(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->sessions[i].fd != -1)
            close(worker->sessions[i].fd);
}

/* The CPU time that the servers have used up to now. Thread 0 reads it for all. */
static uint64_t server_cpu_ns(const struct worker *worker)
{
    const struct config *config = worker->run->config;
    uint64_t total_ns = 0;

    for (unsigned i = 0; worker->number == 0 && i < config->server_count; i++) {
        struct timespec used;
        if (clock_gettime(config->server_clocks[i], &used) == -1)
            errx(EXIT_FAILURE, "a process of --cpu-of has ended");
        total_ns += (uint64_t)used.tv_sec * second_ns + (uint64_t)used.tv_nsec;
    }
    return total_ns;
}

static void begin_measurement(struct worker *worker)
{
    worker->phase = PHASE_MEASURE;
    worker->counts = &worker->measured;
    worker->begin_ns = client_now_ns();
    worker->server_cpu_ns = server_cpu_ns(worker);
    getrusage(RUSAGE_THREAD, &worker->usage_begin);
}

static void end_measurement(struct worker *worker)
{
    getrusage(RUSAGE_THREAD, &worker->usage_end);
    worker->server_cpu_ns = server_cpu_ns(worker) - worker->server_cpu_ns;
    worker->end_ns = client_now_ns();
    worker->counts = &worker->ignored;
    worker->phase = PHASE_DRAIN;
    worker->last_read_ns = worker->end_ns;
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct session *session = &worker->sessions[i];
        if (worker->run->config->rate > 0)
            worker->unfinished_batches += session->overdue + (session->expected > 0);
        session_stop(worker, session);
    }
}

/* Replies are due and nothing comes: call them missing. */
static void give_up(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct session *session = &worker->sessions[i];
        if (session->expected > 0)
            session_fail(worker, session, FAILURE_missing, 0);
    }
}

static bool is_silent(const struct worker *worker, uint64_t patience_s)
{
    return worker->now_ns > worker->last_read_ns + patience_s * second_ns;
}

/* When the present phase ends, if no event ends it earlier. */
static uint64_t phase_end_ns(const struct worker *worker)
{
    const struct config *config = worker->run->config;
    double seconds = config->warmup_s + (worker->phase == PHASE_WARMUP ? 0 : config->time_s);

    if (worker->phase == PHASE_START || worker->phase == PHASE_DRAIN || config->batches)
        return UINT64_MAX;
    return worker->warmup_ns + (uint64_t)(seconds * 1e9);
}

static void advance(struct worker *worker)
{
    if (worker->phase == PHASE_START && worker->started_sessions == worker->session_count) {
        worker->phase = PHASE_WARMUP;
        worker->warmup_ns = worker->now_ns;
    }
    bool is_interrupted = atomic_load_explicit(&worker->run->interrupted, memory_order_relaxed);
    bool is_over = worker->unfinished_sessions == 0 || worker->now_ns >= phase_end_ns(worker) || is_interrupted;
    if (worker->phase == PHASE_START && is_interrupted)
        worker->phase = PHASE_WARMUP; /* the figures are those of no time at all */
    if (worker->phase == PHASE_WARMUP && is_over) {
        begin_measurement(worker);
    } else if (worker->phase == PHASE_MEASURE) {
        if (is_over)
            end_measurement(worker);
        else if (worker->run->config->batches && is_silent(worker, COUNTING_PATIENCE_S))
            give_up(worker);
    }
    if (worker->phase == PHASE_DRAIN) {
        if (is_silent(worker, DRAIN_PATIENCE_S))
            give_up(worker);
        if (worker->unfinished_sessions == 0)
            worker->phase = PHASE_OVER;
    }
}

/* The time of the next batch of the open loop. Threads are staggered, and sessions take turns. */
static uint64_t next_due_ns(const struct worker *worker)
{
    double stagger = worker->interval_ns * worker->number / worker->run->config->threads;

    return worker->run->start_ns + (uint64_t)(stagger + worker->interval_ns * (double)worker->released);
}

static void release_due(struct worker *worker)
{
    for (uint64_t due_ns; (due_ns = next_due_ns(worker)) <= worker->now_ns;) {
        struct session *session = &worker->sessions[worker->released % worker->session_count];
        worker->released++;
        session_release(worker, session, due_ns);
    }
}

static struct timespec sleep_limit(const struct worker *worker)
{
    const struct config *config = worker->run->config;
    uint64_t limit_ns = CHECK_MS * (uint64_t)1000000;

    if (config->spin || worker->started_sessions < worker->session_count)
        return (struct timespec){0};
    uint64_t wake_ns = phase_end_ns(worker), now_ns = client_now_ns();
    if (config->rate > 0 && worker->phase < PHASE_DRAIN && next_due_ns(worker) < wake_ns)
        wake_ns = next_due_ns(worker);
    if (wake_ns < now_ns + limit_ns)
        limit_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
    return (struct timespec){.tv_nsec = (long)limit_ns};
}

static void start_some(struct worker *worker)
{
    for (unsigned i = 0; i < START_SESSIONS && worker->started_sessions < worker->session_count; i++)
        session_start(worker, &worker->sessions[worker->started_sessions++]);
}

static void pass(struct worker *worker)
{
    struct epoll_event events[EVENTS];

    start_some(worker);
    struct timespec limit = sleep_limit(worker);
    int count = epoll_pwait2(worker->epoll_fd, events, EVENTS, &limit, NULL);

    if (count == -1 && errno != EINTR)
        err(EXIT_FAILURE, "epoll_pwait2");
    worker->now_ns = client_now_ns();
    for (int i = 0; i < count; i++)
        session_event(worker, events[i].data.ptr, events[i].events);
    if (worker->run->config->rate > 0 && worker->phase < PHASE_DRAIN)
        release_due(worker);
}

static void run_sessions(struct worker *worker)
{
    const struct config *config = worker->run->config;

    worker->counts = &worker->ignored;
    worker->now_ns = worker->last_read_ns = worker->run->start_ns;
    if (config->batches)
        begin_measurement(worker); /* all of them are counted */
    if (config->rate > 0)
        worker->started_sessions = worker->session_count; /* each when its time comes */
    for (advance(worker); worker->phase != PHASE_OVER; advance(worker))
        pass(worker);
}

static void prepare(struct worker *worker)
{
    const struct config *config = worker->run->config;

    if (config->cpu != -1) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(config->cpu + worker->number, &set);
        if (sched_setaffinity(0, sizeof(set), &set) == -1)
            err(EXIT_FAILURE, "cpu %u", config->cpu + worker->number);
    }
    prctl(PR_SET_TIMERSLACK, 1); /* the open loop sends on time */
    if (config->rate > 0) {
        worker->interval_ns = 1e9 / config->rate * config->sessions / worker->session_count;
        worker->period_ns = 1e9 / config->rate * config->sessions;
    }
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->sessions = calloc(worker->session_count, sizeof(*worker->sessions));
    worker->buffer = malloc(READ_SIZE);
    if (worker->epoll_fd == -1 || !worker->sessions || !worker->buffer)
        err(EXIT_FAILURE, "thread %u", worker->number);
}

void *worker_main(void *data)
{
    struct worker *worker = data;
    struct run *run = worker->run;

    prepare(worker);
    open_sessions(worker);
    pthread_barrier_wait(&run->barrier);
    pthread_barrier_wait(&run->barrier);
    if (!run->abandoned)
        run_sessions(worker);
    close_sessions(worker);
    close(worker->epoll_fd);
    free(worker->sessions);
    free(worker->buffer);
    return NULL;
}
