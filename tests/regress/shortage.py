"""
A kernel and a C library that fail on demand: a library that is preloaded into the server, and the memory it shares with
the test.

    shortage = Shortage(tmp_path)                       Server(..., env=shortage.env)
    shortage.fail("sendmsg", errno.ENOBUFS, 3)          the next three calls fail, in whatever process
    shortage.fail("malloc", errno.ENOMEM, skip=7, pid=server.pid)
    shortage.await_spent("sendmsg")                     all of them have failed
"""
import mmap
import struct
import subprocess
import time

from harness import DEADLINE

CALLS = ["malloc", "sendmsg", "recvmsg", "poll", "waitpid", "fork", "memfd_create", "recv", "send"]
STEAL = 1000  # instead of an errno, for waitpid: somebody else is given the status

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MALLOC, SENDMSG, RECVMSG, POLL, WAITPID, FORK, MEMFD, RECV, SEND, CALLS, STEAL = 1000 };

/* pid: of the process it is meant for; 0: any; below 0: any but that one. */
static struct plan {
    int pid, error, skip, count;
} *plans;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CCSERVER_SHORTAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (memory != MAP_FAILED)
        plans = memory;
}

static int error_of(unsigned call)
{
    struct plan *plan = plans ? &plans[call] : NULL;

    if (!plan || plan->count <= 0 || (plan->pid > 0 && plan->pid != getpid()) || (plan->pid < 0 && -plan->pid == getpid()))
        return 0;
    if (plan->skip > 0) {
        plan->skip--;
        return 0;
    }
    plan->count--;
    return plan->error;
}

static int fails(unsigned call)
{
    int error = error_of(call);

    if (error)
        errno = error;
    return error;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void *malloc(size_t size) { return fails(MALLOC) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails(MALLOC) ? NULL : __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { return fails(MALLOC) ? NULL : __libc_realloc(memory, size); }

void *reallocarray(void *memory, size_t count, size_t size)
{
    size_t total;

    return __builtin_mul_overflow(count, size, &total) || fails(MALLOC) ? NULL : __libc_realloc(memory, total);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

FILE *open_memstream(char **text, size_t *size)
{
    return fails(MALLOC) ? NULL : NEXT(open_memstream)(text, size);
}

ssize_t sendmsg(int fd, const struct msghdr *packet, int flags)
{
    return fails(SENDMSG) ? -1 : NEXT(sendmsg)(fd, packet, flags);
}

ssize_t recvmsg(int fd, struct msghdr *packet, int flags)
{
    return fails(RECVMSG) ? -1 : NEXT(recvmsg)(fd, packet, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    return fails(RECV) ? -1 : NEXT(recv)(fd, bytes, size, flags);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return fails(SEND) ? -1 : NEXT(send)(fd, bytes, size, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return fails(POLL) ? -1 : NEXT(poll)(fds, count, timeout);
}

/* What FORTIFY makes of them. */
ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
    return size <= room ? recv(fd, bytes, size, flags) : (abort(), -1);
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
    return count <= room / sizeof(*fds) ? poll(fds, count, timeout) : (abort(), -1);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    static int stolen;
    int error = plans && plans[WAITPID].error == STEAL && plans[WAITPID].count > 0 ? STEAL : error_of(WAITPID);

    if (!error)
        return NEXT(waitpid)(pid, status, options);
    errno = error == STEAL ? ECHILD : error;
    if (error == STEAL && NEXT(waitpid)(pid, &stolen, options) > 0)
        plans[WAITPID].count--;
    errno = error == STEAL ? ECHILD : error;
    return -1;
}

pid_t fork(void) { return fails(FORK) ? -1 : NEXT(fork)(); }

int memfd_create(const char *name, unsigned flags)
{
    return fails(MEMFD) ? -1 : NEXT(memfd_create)(name, flags);
}
"""


class Shortage:
    def __init__(self, directory):
        source, library, plans = directory / "shortage.c", directory / "shortage.so", directory / "plans"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        plans.write_bytes(bytes(4096))
        with open(plans, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)
        self.env = {"LD_PRELOAD": str(library), "CCSERVER_SHORTAGE": str(plans)}

    def fail(self, call, error, count=1, skip=0, pid=0):
        struct.pack_into("4i", self.memory, 16 * CALLS.index(call), pid, error, skip, count)

    def left(self, call):
        return struct.unpack_from("4i", self.memory, 16 * CALLS.index(call))[3]

    def await_spent(self, call):
        """For want of an event it is looked at again and again."""
        end = time.monotonic() + DEADLINE
        while self.left(call) > 0:
            assert time.monotonic() < end, f"{call} was to fail {self.left(call)} times more"
            time.sleep(0.005)
