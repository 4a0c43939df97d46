#include "common/memory_file.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int grow_beyond_limit(int fd, size_t size)
{
    struct rlimit before, lifted;

    if (getrlimit(RLIMIT_FSIZE, &before) < 0)
        return -1;
    lifted = (struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &lifted) < 0) { /* without privileges, up to the hard limit */
        lifted = (struct rlimit){.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
        if (setrlimit(RLIMIT_FSIZE, &lifted) < 0)
            return -1;
    }
    int result = ftruncate(fd, (off_t)size);
    int error = errno;
    setrlimit(RLIMIT_FSIZE, &before);
    errno = error;
    return result;
}

int memory_file_create(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) == 0 || (errno == EFBIG && grow_beyond_limit(fd, size) == 0))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
