#include "worker/worker.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/container_of.h"
#include "common/signals.h"
#include "common/title.h"
#include "worker/admission.h"
#include "worker/adoption.h"
#include "worker/ask.h"
#include "worker/drain.h"
#include "worker/identity.h"
#include "worker/inspect.h"
#include "worker/life.h"
#include "worker/link.h"
#include "worker/publish.h"
#include "worker/turn.h"
#include "worker/words.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* How long sessions may finish when the master is gone, or as long as only somebody else has sent SIGTERM. */
enum {
    ORPHAN_DRAIN_MS = 2000,
    ORPHAN_PATIENCE_S = 4,
    LAST_WORDS_MS = 250, /* a long way there and back: what crosses our FIN at the end of a drain is read away */
};

struct worker {
    struct core core;
    struct listeners listeners;
    struct reactor_handler signals, channel;
    struct words words; /* to the master */
    bool has_turn_end;  /* some service wants to know */
    bool left;          /* it has been told that somebody else ended this worker; that is said once */
    uint64_t close_ms;  /* then who is left is closed; UINT64_MAX: that has been done, or is left to the exit */
    uint64_t exit_ms;   /* then we are gone, whether they have heard of it or not */
    bool own_time;      /* these two are the choice of this worker: a word of the master replaces it */
};

/* Who says how long a drain may take. */
enum chosen_by { BY_WORKER, BY_MASTER };

/* Over how long quiet sessions leave. Who comes last still has a while to become quiet before the time is up. */
static uint32_t spread_of(const struct worker *worker, uint32_t timeout_ms, enum stop why)
{
    uint32_t spread_ms = worker->listeners.env->drain_spread_ms, most_ms = timeout_ms - timeout_ms / 4;

    if (why != STOP_LEAVE || worker->core.draining)
        return 0; /* the whole server goes, or it is said again because it is: nobody can come back at once */
    return spread_ms < most_ms ? spread_ms : most_ms;
}

static void drain(struct worker *worker, uint32_t timeout_ms, enum stop why, enum chosen_by chosen_by)
{
    struct core *core = &worker->core;
    uint64_t now_ms = core->loop.reactor.now_ms;
    uint64_t exit_ms = timeout_ms ? now_ms + timeout_ms + LAST_WORDS_MS : now_ms;
    uint32_t spread_ms = spread_of(worker, timeout_ms, why);

    if (!core->draining || exit_ms < worker->exit_ms || (worker->own_time && chosen_by == BY_MASTER)) {
        worker->own_time = chosen_by == BY_WORKER;
        worker->exit_ms = exit_ms;
        worker->close_ms = timeout_ms ? now_ms + timeout_ms : UINT64_MAX;
    }
    if (!core->draining) {
        listener_stop(&worker->listeners, why);
        adoption_release_all(&worker->listeners);
        log_info("draining %u sessions for up to %u ms", core->session_count, timeout_ms);
    }
    drain_begin(core, why == STOP_REFUSE, spread_ms);
}

/*
 * Not at the master's word: it is told, and replaces this worker at once. A signal to the whole process group comes to
 * both, in any order: what the master says about the time counts.
 */
static void leave(struct worker *worker)
{
    bool told = worker->core.draining && !worker->own_time && worker->channel.events != REACTOR_OFF;

    if (!told)
        drain(worker, ORPHAN_DRAIN_MS, STOP_LEAVE, BY_WORKER);
    worker->words.leaving |= !worker->left;
    worker->left = true;
}

static void signals_ready(struct reactor_handler *handler, uint32_t events)
{
    struct worker *worker = container_of(handler, struct worker, signals);
    struct signalfd_siginfo info;

    (void)events;
    while (read(handler->fd, &info, sizeof(info)) == sizeof(info)) {
        worker->words.operator_asks |= info.ssi_code == SI_QUEUE && info.ssi_int == SIGNALS_OPERATOR;
        if (info.ssi_signo == SIGTERM)
            leave(worker);
        else if (info.ssi_signo == SIGQUIT)
            worker->core.loop.reactor.running = false;
        /* The others come with a terminal's Ctrl-C to the whole group: the master knows what to do. */
    }
}

static void adopt(struct worker *worker, const struct channel_message *message, const int *fds)
{
    static struct log_limit limit;
    struct core *core = &worker->core;
    uint32_t missed = message->lost;

    for (uint32_t i = 0; i < message->count; i++) {
        if (core->draining)
            close(fds[i]);
        else
            missed += adoption_take(&worker->listeners, message->value, message->address[i], fds[i]) < 0;
    }
    if (missed == 0 || core->draining)
        return;
    adoption_release(&worker->listeners, message->value);
    log_limited(&limit, 1, LOG_LEVEL_WARN, "cannot adopt the queues of slot %u: no descriptors", message->value);
    words_miss(&worker->words, message->value);
}

static void add_siblings(struct worker *worker, const struct channel_message *message, const int *fds)
{
    for (uint32_t i = 0; i < message->count; i++)
        publish_add_sibling(&worker->core, fds[i]);
    if (message->lost > 0)
        log_error("nothing can be published to %u siblings: no descriptors", message->lost);
}

/*
 * Whatever is wrong with the control pipe, or with the master: the sessions are sound, so they may finish, as at the
 * end of the master. Nothing that comes from there counts any more.
 */
static void give_up_master(struct worker *worker, const char *why)
{
    log_error("the master cannot be believed: %s", why);
    reactor_want(&worker->core.loop.reactor, &worker->channel, REACTOR_OFF);
    leave(worker);
}

static void obey(struct worker *worker, const struct channel_message *message, const int *fds)
{

    switch (message->type) {
    case CHANNEL_ADOPT: adopt(worker, message, fds); break;
    case CHANNEL_SIBLING: add_siblings(worker, message, fds); break;
    case CHANNEL_RELEASE: adoption_release(&worker->listeners, message->value); break;
    case CHANNEL_REFUSE:
        if (message->value < worker->listeners.env->socket_count)
            worker->listeners.array[message->value].closing = true;
        break;
    case CHANNEL_DRAIN:
    case CHANNEL_STOP:
        drain(worker, message->value, message->type == CHANNEL_STOP ? STOP_REFUSE : STOP_LEAVE, BY_MASTER);
        break;
    case CHANNEL_LOG_LEVEL: log_set_level((enum log_level)message->value); break;
    case CHANNEL_DISABLE:
    case CHANNEL_ENABLE: listener_disable(&worker->listeners, message->value, message->type == CHANNEL_DISABLE); break;
    case CHANNEL_ANSWER: ask_answered(&message->answer, message->count ? fds[0] : -1); break;
    case CHANNEL_INSPECT:
        if (message->count)
            inspect_open(&worker->core, fds[0]);
        break;
    case CHANNEL_REOPEN_LOG:
        if (log_reopen() < 0)
            log_error("cannot reopen the log: %s", strerror(errno));
        break;
    default: give_up_master(worker, "it has sent what only a worker sends");
    }
}

static void channel_ready(struct reactor_handler *handler, uint32_t events)
{
    struct worker *worker = container_of(handler, struct worker, channel);
    struct channel_message message;
    int fds[CHANNEL_FDS_MAX];

    (void)events;
    while (handler->events != REACTOR_OFF) {
        switch (channel_receive(handler->fd, &message, fds)) {
        case CHANNEL_AGAIN: return;
        case CHANNEL_OK: obey(worker, &message, fds); break;
        case CHANNEL_CLOSED:
            log_warn("the master is gone");
            reactor_want(&worker->core.loop.reactor, handler, REACTOR_OFF);
            drain(worker, ORPHAN_DRAIN_MS, STOP_ORPHAN, BY_WORKER);
            return;
        case CHANNEL_BROKEN: give_up_master(worker, strerror(errno)); return;
        }
    }
}

static void after_batch(struct reactor *reactor)
{
    struct worker *worker = container_of(reactor, struct worker, core.loop.reactor);
    struct core *core = &worker->core;

    if (core->draining && reactor->now_ms >= worker->close_ms) {
        drain_close(core);
        worker->close_ms = UINT64_MAX;
        worker->exit_ms = clock_now_ms() + LAST_WORDS_MS; /* the turn may have been late, and long */
    }
    if (worker->has_turn_end)
        life_end_turn(&worker->listeners);
    publish_end_turn(core);
    turn_end(core);
    link_end_turn(core);
    listener_resume(&worker->listeners, session_free_dead(core));
    adoption_free_released(&worker->listeners);
    worker->words.shutdown |= core->shutdown_asked;
    core->shutdown_asked = false;
    ask_send(worker->listeners.env->channel);
    words_send(&worker->words, worker->listeners.env->channel, reactor->now_ms);
    if (core->draining && (core->session_count == 0 || reactor->now_ms >= worker->exit_ms))
        reactor->running = false;
}

static int watch(struct core *core, struct reactor_handler *handler, int fd,
                 void (*ready)(struct reactor_handler *handler, uint32_t events))
{
    *handler = (struct reactor_handler){.fd = fd, .events = REACTOR_OFF, .ready = ready};
    return fd < 0 ? -1 : reactor_want(&core->loop.reactor, handler, EPOLLIN);
}

static int start(struct worker *worker, const struct worker_env *env)
{
    struct core *core = &worker->core;
    struct listeners *listeners = &worker->listeners;
    sigset_t mask;

    core->env = env;
    listeners->core = core;
    listeners->env = env;
    listeners->array = calloc(env->socket_count ? env->socket_count : 1, sizeof(*listeners->array));
    if (!listeners->array || reactor_open(&core->loop.reactor, env->stats) < 0)
        return -1;
    core->loop.reactor.after_batch = after_batch;
    core->loop.reactor.busy_poll.budget_us = env->busy_poll_us;
    signals_block(&mask);
    if (watch(core, &worker->signals, signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC), signals_ready) < 0 ||
        watch(core, &worker->channel, env->channel, channel_ready) < 0)
        return -1;
    return listener_start(listeners) < 0 ? -1 : publish_start(listeners);
}

static pid_t master_pid;

static void on_continued(int number)
{
    (void)number;
    if (getppid() != master_pid)
        alarm(ORPHAN_PATIENCE_S);
}

/*
 * A worker that is stopped when its master dies would never see that: the kernel continues it. One that hangs would not
 * see it either: an alarm, which nobody handles, ends it when it should have drained long ago. This is no more than
 * setting a timer in the kernel, so it may stand in a handler, where a hung loop can be reached.
 */
static void end_with_master(void)
{
    struct sigaction action = {.sa_handler = on_continued, .sa_flags = SA_RESTART};

    master_pid = getppid();
    sigaction(SIGCONT, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGCONT);
}

int worker_run(const struct worker_env *env)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    char error[256] = "";

    log_set_role(env->name);
    log_count_dropped_in(&env->stats->log_dropped);
    title_set("%s", env->name);
    end_with_master();
    if (!worker || start(worker, env) < 0) {
        log_error("cannot start: %s", strerror(errno));
        free(worker);
        return EXIT_FAILURE;
    }
    if (life_start(&worker->listeners, error, sizeof(error)) < 0) {
        log_error("stays down: %s", error);
        free(worker->listeners.array);
        free(worker);
        return WORKER_EXIT_STAY_DOWN;
    }
    for (unsigned i = 0; i < env->socket_count; i++)
        worker->has_turn_end |= env->sockets[i].listener->service->turn_end != NULL;
    worker->words.ready = true;
    words_send(&worker->words, env->channel, worker->core.loop.reactor.now_ms);
    reactor_run(&worker->core.loop.reactor);

    admission_end(&worker->listeners);
    drain_end(&worker->core);
    session_free_dead(&worker->core);
    life_stop(&worker->listeners);
    publish_fini(&worker->core);
    turn_fini(&worker->core);
    identity_fini();
    adoption_free_released(&worker->listeners);
    reactor_close(&worker->core.loop.reactor);
    close(worker->signals.fd);
    buffer_trim();
    free(worker->listeners.array);
    free(worker);
    return EXIT_SUCCESS;
}
