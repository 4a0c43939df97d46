#include "bench/client.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_S = 10 };

static const char *const failure_texts[] = {
#define X(name, text) text,
    CLIENT_FAILURES(X)
#undef X
};

static void finish(struct worker *worker, struct session *session)
{
    if (session->finished)
        return;
    session->finished = true;
    worker->unfinished_sessions--;
}

void session_init(struct worker *worker, struct session *session, uint32_t number)
{
    const struct config *config = worker->run->config;
    const struct payload *payload = worker->run->payload;
    uint64_t grain = (uint64_t)number * 7919 % (payload->request_size / payload->request_grain);

    *session = (struct session){.fd = -1, .quota = UINT64_MAX};
    session->request_at = (uint32_t)grain * payload->request_grain;
    session->reply_at = (uint32_t)grain * payload->reply_grain;
    if (config->batches) {
        uint64_t share = config->batches / config->sessions + (number < config->batches % config->sessions);
        session->quota = share * payload->request_size;
        if (share == 0)
            finish(worker, session);
    }
}

static void fail(struct worker *worker, struct session *session, enum failure failure, const char *detail)
{
    if (!worker->first_failure[0])
        snprintf(worker->first_failure, sizeof(worker->first_failure), "session %zu: %s%s%s",
                 (size_t)(session - worker->sessions) + worker->first_session, failure_texts[failure],
                 *detail ? ": " : "", detail);
    worker->failures[failure]++;
    if (session->fd != -1)
        close(session->fd);
    session->fd = -1;
    session->to_send = session->expected = session->overdue = 0;
    finish(worker, session);
}

void session_fail(struct worker *worker, struct session *session, enum failure failure, int error)
{
    fail(worker, session, failure, error ? strerror(error) : "");
}

/* A connection that breaks before anything was sent on it has not been made: connect() did not wait for it. */
static void fail_socket(struct worker *worker, struct session *session, int error)
{
    bool connecting = worker->run->config->mode == MODE_CONNECT &&
                      session->to_send == worker->run->payload->request_size;

    session_fail(worker, session, connecting ? FAILURE_connect : FAILURE_reset, error);
}

static int watch(struct worker *worker, struct session *session, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = session};

    if (epoll_ctl(worker->epoll_fd, operation, session->fd, &event) == 0)
        return 0;
    session_fail(worker, session, FAILURE_reset, errno);
    return -1;
}

/*
 * In MODE_CONNECT the connection is not waited for: the first send says EAGAIN until it stands. It is closed with a
 * reset, which leaves no TIME_WAIT on either side. After an orderly close the port of each connection stays taken for
 * a minute, the 28,000 ports last for a second or two, and from then on what is measured is the kernel's search for a
 * free one. The reply is complete by then, so nothing can be lost by the reset.
 */
int session_open(struct worker *worker, struct session *session)
{
    const struct config *config = worker->run->config;
    const bool waits = config->mode != MODE_CONNECT;
    const struct linger reset = {.l_onoff = 1};
    const struct timeval timeout = {.tv_sec = CONNECT_TIMEOUT_S};
    const int on = 1;
    int fd = socket(config->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);

    session->fd = fd;
    session->waits_out = false;
    if (fd == -1) {
        session_fail(worker, session, FAILURE_connect, errno);
        return -1;
    }
    if (waits) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    } else {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    if (connect(fd, (const struct sockaddr *)&config->address, config->address_size) == -1) {
        if (waits || errno != EINPROGRESS) {
            session_fail(worker, session, FAILURE_connect, errno == EINPROGRESS ? ETIMEDOUT : errno);
            return -1;
        }
    }
    return watch(worker, session, EPOLL_CTL_ADD, EPOLLIN);
}

static void flush(struct worker *worker, struct session *session)
{
    const struct payload *payload = worker->run->payload;

    while (session->to_send > 0) {
        size_t room = 2 * (size_t)payload->request_size - session->request_at;
        size_t size = session->to_send < room ? session->to_send : room;
        ssize_t sent = send(session->fd, payload->request + session->request_at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent == -1) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                break;
            fail_socket(worker, session, errno);
            return;
        }
        session->to_send -= (uint32_t)sent;
        session->request_at = (session->request_at + (uint32_t)sent) % payload->request_size;
        if ((size_t)sent < size)
            break; /* the socket is full */
    }
    if (session->waits_out == (session->to_send > 0))
        return;
    session->waits_out = session->to_send > 0;
    watch(worker, session, EPOLL_CTL_MOD, session->waits_out ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Take a batch out of the quota. */
static bool reserve(const struct payload *payload, struct session *session)
{
    if (session->quota < payload->request_size)
        return false;
    session->quota -= payload->request_size;
    return true;
}

static void start_batch(struct worker *worker, struct session *session, uint64_t start_ns)
{
    const struct payload *payload = worker->run->payload;

    session->started_ns = start_ns;
    session->to_send = payload->request_size;
    session->expected = session->batch_left = payload->reply_size;
    if (worker->run->config->mode == MODE_CONNECT && session_open(worker, session) == -1)
        return;
    flush(worker, session);
}

void session_start(struct worker *worker, struct session *session)
{
    if (!session->finished && reserve(worker->run->payload, session))
        start_batch(worker, session, client_now_ns());
}

void session_release(struct worker *worker, struct session *session, uint64_t due_ns)
{
    if (session->finished || !reserve(worker->run->payload, session))
        return;
    if (session->expected > 0)
        session->overdue++;
    else
        start_batch(worker, session, due_ns);
}

static void batch_done(struct worker *worker, struct session *session)
{
    const struct config *config = worker->run->config;
    uint64_t now_ns = client_now_ns();

    worker->counts->batches++;
    histogram_add(&worker->counts->latency_ns, now_ns - session->started_ns);
    if (config->mode == MODE_CONNECT) {
        close(session->fd);
        session->fd = -1;
    }
    if (config->mode == MODE_STREAM) {
        session->started_ns = now_ns;
    } else if (session->overdue > 0) {
        session->overdue--;
        start_batch(worker, session, session->started_ns + (uint64_t)worker->period_ns);
    } else if (config->rate == 0 && reserve(worker->run->payload, session)) {
        start_batch(worker, session, now_ns);
    }
}

/* Returns 0, or -1 after session_fail(). */
static int verify(struct worker *worker, struct session *session, uint32_t size)
{
    const struct payload *payload = worker->run->payload;

    for (uint32_t done = 0, part; done < size; done += part) {
        uint32_t at = (session->reply_at + done) % payload->reply_size;
        part = size - done < payload->reply_size ? size - done : payload->reply_size;
        const char *want = payload->reply + at, *got = worker->buffer + done;
        if (memcmp(want, got, part) == 0)
            continue;
        uint32_t i = 0;
        while (want[i] == got[i])
            i++;
        char detail[80];
        snprintf(detail, sizeof(detail), "byte %u of the batch is 0x%02x, must be 0x%02x",
                 (at + i) % payload->reply_size, (unsigned char)got[i], (unsigned char)want[i]);
        fail(worker, session, FAILURE_mismatch, detail);
        return -1;
    }
    return 0;
}

/* What was read goes out again. It is the same bytes as in the payload, so they need not be kept. */
static void send_back(struct worker *worker, struct session *session, uint32_t size)
{
    uint32_t more = session->quota < size ? (uint32_t)session->quota : size;

    session->quota -= more;
    session->to_send += more;
    session->expected += more;
    flush(worker, session);
}

static void take_reply(struct worker *worker, struct session *session, uint32_t size)
{
    const struct payload *payload = worker->run->payload;

    session->reply_at = (session->reply_at + size) % payload->reply_size;
    session->expected -= size;
    if (worker->run->config->mode == MODE_STREAM)
        send_back(worker, session, size);
    while (size >= session->batch_left) {
        size -= session->batch_left;
        session->batch_left = payload->reply_size;
        batch_done(worker, session);
    }
    session->batch_left -= size;
    if (session->expected == 0 && session->overdue == 0 && session->quota < payload->request_size)
        finish(worker, session);
}

static void receive(struct worker *worker, struct session *session)
{
    ssize_t size = recv(session->fd, worker->buffer, READ_SIZE, MSG_DONTWAIT);

    if (size == -1) {
        if (errno != EAGAIN && errno != EINTR)
            fail_socket(worker, session, errno);
        return;
    }
    if (size == 0) {
        session_fail(worker, session, FAILURE_closed, 0);
        return;
    }
    worker->counts->reads++;
    worker->counts->bytes += (uint64_t)size;
    worker->last_read_ns = worker->now_ns;
    if ((uint64_t)size > session->expected) {
        session_fail(worker, session, FAILURE_excess, 0);
        return;
    }
    if (!worker->run->config->verify || verify(worker, session, (uint32_t)size) == 0)
        take_reply(worker, session, (uint32_t)size);
}

void session_event(struct worker *worker, struct session *session, uint32_t events)
{
    if (events & EPOLLOUT)
        flush(worker, session);
    if (session->fd != -1 && events & ~(uint32_t)EPOLLOUT)
        receive(worker, session);
}

void session_stop(struct worker *worker, struct session *session)
{
    uint32_t grain = worker->run->payload->request_grain;

    session->quota = 0;
    session->overdue = 0;
    if (session->finished)
        return;
    if (worker->run->config->mode == MODE_STREAM) {
        /* Complete the message that was begun: for half a frame no reply ever comes. */
        uint32_t begun = (session->request_at + session->to_send) % grain;
        if (begun > 0) {
            session->to_send += grain - begun;
            session->expected += grain - begun;
            flush(worker, session);
        }
    }
    if (session->expected == 0)
        finish(worker, session);
}
