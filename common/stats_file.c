#include "common/stats_file.h"
#include "common/memory_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

static size_t file_size(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (sizeof(struct stats_block) + page - 1) / page * page;
}

int stats_file_create(unsigned number, pid_t owner)
{
    struct stats_block head = {.layout = STATS_LAYOUT, .taken = number + 1, .owner = owner};
    size_t head_size = offsetof(struct stats_block, turns);
    char name[32];

    snprintf(name, sizeof(name), "ccserver-stats-%u", number);
    int fd = memory_file_create(name, file_size());
    /* Allocated now: a page that cannot be had when it is first touched ends whoever touches it. */
    if (fd >= 0 && fallocate(fd, 0, 0, (off_t)file_size()) == 0 &&
        pwrite(fd, &head, head_size, 0) == (ssize_t)head_size && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

static bool is_block_file(int fd)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &status) == 0 && status.st_size == (off_t)file_size();
}

int stats_file_open(pid_t owner, int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)owner, fd);
    int copy = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (copy < 0 || is_block_file(copy))
        return copy;
    close(copy);
    errno = EBADF;
    return -1;
}

struct stats_block *stats_file_map(int fd, bool writable)
{
    int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *memory = mmap(NULL, file_size(), access, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return NULL;
    if (madvise(memory, file_size(), MADV_DONTFORK) == 0)
        return memory;
    int error = errno;
    munmap(memory, file_size());
    errno = error;
    return NULL;
}

struct stats_block *stats_without_block_file(unsigned number, pid_t owner)
{
    struct stats_block *block = mmap(NULL, file_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    block->layout = STATS_LAYOUT;
    block->taken = number + 1;
    block->owner = owner;
    return block;
}

void stats_file_unmap(struct stats_block *block)
{
    if (block)
        munmap(block, file_size());
}
