#include "master/limit.h"
#include "common/log.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

enum { OTHERS = 16 }; /* descriptors of a worker that are no session's and no accept queue's, generously */

void limit_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            log_warn("cannot raise the descriptor limit: %s", strerror(errno));
    }
}

/* A session of a service that has an upstream has a descriptor more. */
static bool has_upstream(const struct listener_config *listener)
{
    return listener->service->options && option_find(listener->service->options, "upstream");
}

/* What a worker of this pool needs at most; `per_session` descriptors of it for each session. */
static uint64_t descriptors_wanted(const struct conf *conf, unsigned pool, unsigned *per_session)
{
    uint64_t queues = 0;

    *per_session = 1;
    for (unsigned i = 0; i < conf->listener_count; i++) {
        if (conf->listeners[i].pool != pool)
            continue;
        queues += conf->listeners[i].address_count;
        if (has_upstream(&conf->listeners[i]))
            *per_session = 2;
    }
    if (conf->pools[pool].publishes) /* those of two generations, during a reload */
        queues += UINT64_C(2) * conf->pools[pool].workers;
    return (uint64_t)conf->pools[pool].max_sessions * *per_session + queues + OTHERS;
}

/* The pool whose workers need the most. */
static unsigned neediest(const struct conf *conf)
{
    unsigned most = 0, ignored;

    for (unsigned i = 1; i < conf->pool_count; i++)
        if (descriptors_wanted(conf, i, &ignored) > descriptors_wanted(conf, most, &ignored))
            most = i;
    return most;
}

void limit_check(const struct conf *conf, const struct conf *old)
{
    struct rlimit limit;
    unsigned per_session, ignored, pool = neediest(conf);
    uint64_t wanted = descriptors_wanted(conf, pool, &per_session);

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    if (old && wanted <= descriptors_wanted(old, neediest(old), &ignored))
        return;
    log_warn("the descriptor limit, %" PRIu64
             ", is too low for max_sessions = %u (%u descriptor%s each): accepting will pause "
             "earlier; raise the limit (ulimit -Hn, LimitNOFILE=) to %" PRIu64 ", or lower max_sessions",
             (uint64_t)limit.rlim_cur, conf->pools[pool].max_sessions, per_session, per_session > 1 ? "s" : "", wanted);
}
