/*
 * Peers that have vanished without a word: power, cable, NAT. A connection ends within about three times `keepalive`.
 *
 *   nothing is under way         the kernel probes (SO_KEEPALIVE): after t, then up to four times at t / 4
 *   bytes are under way          the kernel only sends them again, for a quarter of an hour: we look every t
 *   the peer's window is closed  the kernel probes the window; a peer that answers lives, though it does not read
 *
 * TCP_USER_TIMEOUT would spare us looking, but it also ends connections whose window stays closed while the peer
 * answers every probe. Looking costs a system call for connections on which something was sent, and a timer for all.
 */
#include "worker/keepalive.h"
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15 */
#endif

enum {
    PROBES = 4,
    KERNEL_IDLE_MAX_S = 32767,
    RTO_MAX_MS = 120 * 1000, /* the kernel's own limit */
};

/* What is known of a peer that owes us an acknowledgement. */
enum silence {
    SILENCE_NONE, /* nothing was under way when we last looked */
    SILENCE_OWES, /* bytes were */
    SILENCE_LONG, /* and they had been sent again without an answer; so once more means that it is gone */
};

/* When the kernel probes: after `idle` seconds, then every `interval`, `count` times. */
struct probing {
    int idle, interval, count;
};

static int get(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    return getsockopt(fd, level, name, &value, &size) < 0 ? -1 : value;
}

static void set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value)); /* not TCP, or an older kernel: it does without */
}

/* What the machine's administrator has chosen (net.ipv4.tcp_keepalive_*): a socket that nobody has touched tells. */
static struct probing probing_of_system(void)
{
    struct probing probing = {-1, -1, -1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return probing;
    probing.idle = get(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    probing.interval = get(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    probing.count = get(fd, IPPROTO_TCP, TCP_KEEPCNT);
    close(fd);
    return probing;
}

static struct probing probing_of(uint32_t keepalive_ms)
{
    int idle = (int)(keepalive_ms / 1000 < KERNEL_IDLE_MAX_S ? keepalive_ms / 1000 : KERNEL_IDLE_MAX_S);
    struct probing own = {.idle = idle, .interval = idle / PROBES > 0 ? idle / PROBES : 1};

    own.count = 2 * idle / own.interval < PROBES ? 2 * idle / own.interval : PROBES;
    return own;
}

static int64_t patience_s(const struct probing *probing)
{
    return probing->idle + (int64_t)probing->interval * probing->count;
}

void keepalive_set(int fd, uint32_t keepalive_ms)
{
    static struct probing of_system;

    set(fd, SOL_SOCKET, SO_KEEPALIVE, keepalive_ms > 0);
    if (keepalive_ms == 0)
        return;
    if (of_system.idle == 0)
        of_system = probing_of_system();
    struct probing probing = probing_of(keepalive_ms);
    if (of_system.idle > 0 && patience_s(&of_system) < patience_s(&probing))
        probing = of_system;
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, probing.idle);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, probing.interval);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, probing.count);
    set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, keepalive_ms < RTO_MAX_MS ? (int)keepalive_ms : RTO_MAX_MS);
}

static enum silence judge(const struct tcp_info *info, uint32_t keepalive_ms)
{
    if (info->tcpi_unacked == 0 && info->tcpi_notsent_bytes == 0 && info->tcpi_probes == 0)
        return SILENCE_NONE;
    if ((info->tcpi_retransmits > 0 || info->tcpi_probes > 0) && info->tcpi_last_ack_recv >= keepalive_ms)
        return SILENCE_LONG;
    return SILENCE_OWES;
}

bool keepalive_peer_is_gone(struct conn *conn, uint64_t due_ms)
{
    uint32_t keepalive_ms = conn->settings->keepalive_ms;
    enum silence before = (enum silence)conn->silence;
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    /* When nothing was under way the last time, and nothing has been sent since, looking would be in vain. */
    if (before == SILENCE_NONE && *conn->owner->active_ms(conn) + keepalive_ms < due_ms && buffer_is_empty(&conn->out))
        return false;
    if (getsockopt(conn->handler.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return false; /* a unix socket: its peer cannot vanish */
    conn->silence = judge(&info, keepalive_ms) & 3;
    return before == SILENCE_LONG && conn->silence == SILENCE_LONG;
}
