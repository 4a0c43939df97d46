#include "master/names.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/title.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/unistd.h>

enum { THREADS_MAX = 64, ANSWER_FD = 3, END_MAX_MS = 200, ALIVE_EACH_MS = 1000 };

/* What the child sends. */
struct packet {
    uint32_t index; /* of the name */
    struct resolve_answer answer;
};

static pid_t ending; /* the child that was stopped last; it may have been reaped since */

/* ---- the table ---- */

static struct name *find(const struct names *names, const char *host)
{
    for (unsigned i = 0; i < names->count; i++)
        if (strcmp(names->all[i].host, host) == 0)
            return &names->all[i];
    return NULL;
}

/* NULL when memory is out. */
static struct name *add(struct names *names, const char *host)
{
    struct name *all = reallocarray(names->all, names->count + 1, sizeof(*all));

    if (!all)
        return NULL;
    names->all = all;
    all[names->count] = (struct name){.answered = false};
    strlcpy(all[names->count].host, host, sizeof(all[names->count].host));
    return &all[names->count++];
}

static bool ask(struct resolver *resolver, const char *host, struct resolve_answer *answer)
{
    struct names *names = (struct names *)resolver;
    struct name *name = find(names, host);

    if (!name && !(name = add(names, host))) {
        *answer = (struct resolve_answer){.error = "out of memory"};
        return true;
    }
    name->wanted = true;
    if (!name->answered)
        return false;
    *answer = name->answer;
    return true;
}

void names_init(struct names *names)
{
    *names = (struct names){.resolver = {.ask = ask}, .fd = -1};
}

void names_fini(struct names *names)
{
    names_stop(names);
    free(names->all);
    names_init(names);
}

bool names_are_open(const struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        if (!names->all[i].answered)
            return true;
    return false;
}

bool names_have_failed(const struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        if (names->all[i].answered && names->all[i].answer.count == 0)
            return true;
    return false;
}

void names_reopen_failed(struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        names->all[i].answered &= names->all[i].answer.count > 0;
}

void names_begin_reading(struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        names->all[i].wanted = false;
}

void names_end_reading(struct names *names)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < names->count; i++)
        if (names->all[i].wanted)
            names->all[kept++] = names->all[i];
    names->count = kept;
}

void names_keep(struct names *names, const struct names *old, const char *occasion)
{
    for (unsigned i = 0; i < names->count; i++) {
        struct name *name = &names->all[i];
        const struct name *before = find(old, name->host);
        if (name->answer.count > 0 || !before || before->answer.count == 0)
            continue;
        log_warn("%s: cannot resolve '%s': %s; its addresses stay what they were", occasion, name->host,
                 name->answer.error);
        name->answer = before->answer;
    }
}

bool names_same(const struct names *a, const struct names *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        const struct name *name = find(b, a->all[i].host);
        if (!name || !resolve_same(&a->all[i].answer, &name->answer))
            return false;
    }
    return true;
}

void names_log_found(const struct names *names, const struct names *old)
{
    for (unsigned i = 0; i < names->count; i++) {
        const struct name *before = find(old, names->all[i].host);
        if (names->all[i].answer.count > 0 && before && before->answer.count == 0)
            log_notice("upstream %s resolves now: reload", names->all[i].host);
    }
}

void names_log_failed(const struct names *names, uint32_t again_ms)
{
    for (unsigned i = 0; i < names->count; i++)
        if (names->all[i].answer.count == 0)
            log_warn("cannot resolve '%s': %s; it is tried again in %u s", names->all[i].host,
                     names->all[i].answer.error, again_ms / 1000);
}

int names_copy(struct names *copy, const struct names *names)
{
    names_init(copy);
    copy->all = reallocarray(NULL, names->count ? names->count : 1, sizeof(*copy->all));
    if (!copy->all)
        return -1;
    copy->count = names->count;
    if (names->count > 0)
        memcpy(copy->all, names->all, names->count * sizeof(*names->all));
    return 0;
}

/* ---- handed over ---- */

static void write_name(const struct name *name, FILE *out)
{
    for (unsigned i = 0; i < name->answer.count; i++) {
        const union sock_inet *inet = &name->answer.addresses[i];
        socklen_t size = inet->any.sa_family == AF_INET6 ? sizeof(inet->six) : sizeof(inet->four);
        char text[SOCK_TEXT_SIZE];
        fprintf(out, "%s\t%s", i ? "" : name->host, sock_format(&inet->any, size, text, sizeof(text)));
    }
    if (name->answer.count > 0)
        fputc('\n', out);
}

int names_write(const struct names *names, FILE *out)
{
    for (unsigned i = 0; i < names->count; i++)
        write_name(&names->all[i], out);
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

static void read_addresses(struct name *name, char *rest)
{
    struct resolve_answer *answer = &name->answer;

    for (char *field, error[128]; (field = strsep(&rest, "\t")) && answer->count < RESOLVE_ADDRESSES_MAX;) {
        struct sock_address address;
        if (sock_parse(&address, field, error, sizeof(error)) == 0 && !sock_is_unresolved(&address) &&
            address.any.sa_family != AF_UNIX)
            answer->addresses[answer->count++] = address.inet;
    }
    name->answered = answer->count > 0;
}

int names_read(struct names *names, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    int result = 0;

    while (result == 0 && getline(&line, &room, in) > 0) {
        char *rest = line, *host;
        line[strcspn(line, "\n")] = '\0';
        host = strsep(&rest, "\t");
        if (!rest || strlen(host) >= RESOLVE_HOST_SIZE || find(names, host))
            continue;
        struct name *name = add(names, host);
        if (name)
            read_addresses(name, rest);
        else
            result = -1;
    }
    free(line);
    return ferror(in) ? -1 : result;
}

/* ---- the child ---- */

static const struct names *asked;
static atomic_uint next_question;

static void *answer_questions(void *unused)
{
    for (unsigned i; (i = atomic_fetch_add(&next_question, 1)) < asked->count;) {
        struct packet packet = {.index = i};
        if (asked->all[i].answered)
            continue;
        resolve_now(asked->all[i].host, &packet.answer);
        if (send(ANSWER_FD, &packet, sizeof(packet), MSG_NOSIGNAL) < 0)
            _exit(EXIT_FAILURE); /* the master does not want to know any more */
    }
    return unused;
}

/*
 * A name server that is silent holds up only those who ask it: as many are asked at a time as there are names, as far
 * as that is reasonable.
 */
_Noreturn static void run_child(const struct names *names, int fd, pid_t master)
{
    unsigned count = names->count < THREADS_MAX ? names->count : THREADS_MAX;
    pthread_t threads[THREADS_MAX];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EXIT_FAILURE);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    title_set("resolver");
    if (fd != ANSWER_FD && dup2(fd, ANSWER_FD) < 0)
        _exit(EXIT_FAILURE);
    closefrom(ANSWER_FD + 1); /* queues, channels, pid file: none of them is ours */
    asked = names;
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, answer_questions, NULL) != 0)
            count = i;
    answer_questions(NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    _exit(EXIT_SUCCESS);
}

int names_ask(struct names *names)
{
    pid_t master = getpid();
    int ends[2];

    names_stop(names);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    names->pid = fork();
    if (names->pid == 0)
        run_child(names, ends[1], master);
    int error = errno;
    close(ends[1]);
    if (names->pid < 0) {
        close(ends[0]);
        names->pid = 0;
        errno = error;
        return -1;
    }
    names->fd = ends[0];
    names->due_ms = clock_now_ms() + NAMES_DEADLINE_MS;
    return 0;
}

/* ---- its answers ---- */

static void take(struct names *names, const struct packet *packet)
{
    const struct resolve_answer *answer = &packet->answer;

    if (packet->index >= names->count || names->all[packet->index].answered || answer->count > RESOLVE_ADDRESSES_MAX)
        return;
    for (unsigned i = 0; i < answer->count; i++)
        if (answer->addresses[i].any.sa_family != AF_INET && answer->addresses[i].any.sa_family != AF_INET6)
            return;
    names->all[packet->index].answer = *answer;
    names->all[packet->index].answer.error[RESOLVE_ERROR_SIZE - 1] = '\0';
    names->all[packet->index].answered = true;
}

/* Returns false when the child is gone. */
static bool receive(struct names *names)
{
    struct packet packet;
    ssize_t size;

    while ((size = recv(names->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC)) > 0)
        if (size == (ssize_t)sizeof(packet))
            take(names, &packet);
    return size < 0 && (errno == EAGAIN || errno == EINTR);
}

static void answer_all(struct names *names, const char *error)
{
    for (unsigned i = 0; i < names->count; i++) {
        struct name *name = &names->all[i];
        if (name->answered)
            continue;
        name->answered = true;
        name->answer = (struct resolve_answer){.count = 0};
        strlcpy(name->answer.error, error, sizeof(name->answer.error));
    }
}

bool names_receive(struct names *names, uint64_t now_ms)
{
    bool alive = receive(names);
    char error[RESOLVE_ERROR_SIZE];

    if (names_are_open(names) && alive && now_ms < names->due_ms)
        return false;
    snprintf(error, sizeof(error), alive ? "no answer within %d s" : "who was to ask has died",
             NAMES_DEADLINE_MS / 1000);
    answer_all(names, error);
    names_stop(names);
    return true;
}

void names_stop(struct names *names)
{
    if (names->pid == 0)
        return;
    /* As long as its end is open it has not been reaped, and its pid is nobody else's. */
    if (receive(names))
        kill(names->pid, SIGKILL);
    close(names->fd);
    ending = names->pid;
    names->pid = 0;
}

void names_await_end(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned ms = 0; ending && ms < END_MAX_MS && waitpid(ending, NULL, WNOHANG) == 0; ms++)
        nanosleep(&pause, NULL);
    ending = 0;
}

int names_await(struct names *names, void (*alive)(void))
{
    struct signalfd_siginfo info = {0};
    sigset_t all, ends;

    signals_block(&all); /* the others wait for the loop */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGQUIT);
    int signal_fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signal_fd < 0)
        return -1;
    int result = names_ask(names);
    while (result == 0 && !names_receive(names, clock_now_ms())) {
        struct pollfd fds[] = {{.fd = names->fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
        poll(fds, 2, ALIVE_EACH_MS);
        alive();
        if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
            result = (int)info.ssi_signo;
    }
    int error = errno;
    names_stop(names);
    names_await_end();
    close(signal_fd);
    errno = error;
    return result;
}
