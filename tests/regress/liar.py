"""What a worker that has been taken over, or whose memory is corrupt, can say and write. Part of the service of trap.py."""

LIES = r"""
#include "common/channel.h"
#include "worker/core.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void send_size(int channel, size_t size)
{
    char bytes[1000] = "";

    if (send(channel, bytes, size, MSG_NOSIGNAL) < 0)
        _exit(1);
}

static void send_message(int channel, uint32_t type, uint32_t value, uint32_t count, int fd)
{
    struct channel_message message = {.type = type, .value = value, .count = count};
    char room[CMSG_SPACE(sizeof(int))] = "";
    struct iovec part = {&message, sizeof(message)};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        packet.msg_control = room;
        packet.msg_controllen = sizeof(room);
        *CMSG_FIRSTHDR(&packet) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), &fd, sizeof(int));
    }
    while (sendmsg(channel, &packet, MSG_NOSIGNAL) < 0)
        if (errno != EAGAIN)
            _exit(1);
}

/* The terminal that the log goes to; standard error when it goes to none. */
static int log_descriptor(void)
{
    for (int fd = 3; fd < 1000; fd++)
        if (isatty(fd))
            return fd;
    return 2;
}

/* A process that is nobody's: the tests do not take it for one of the server's. */
static int in_another_process(void)
{
    return fork() == 0 && setsid() > 0;
}

/* For as long as there is a master. */
static void flood(int channel, uint32_t type)
{
    if (in_another_process())
        for (;;)
            send_message(channel, type, 0, 0, -1);
}

/* How much of the statistics can be reached: mappings and descriptors of memory files, and whether they can be cut. */
static int reach(void)
{
    DIR *dir = opendir("/proc/self/map_files");
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], path[512];
    unsigned long begin, end;
    int found = 0;

    while (maps && fgets(line, sizeof(line), maps)) {
        if (!strstr(line, "ccserver-stats") || sscanf(line, "%lx-%lx", &begin, &end) != 2)
            continue;
        found++;
        snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", begin, end);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && (ftruncate(fd, 0) == 0 || ftruncate(fd, 1 << 30) == 0))
            found += 100;
        if (fd >= 0)
            close(fd);
    }
    for (int fd = 0; fd < 1000; fd++)
        found += fcntl(fd, F_GET_SEALS) >= 0 ? 10 : 0;
    if (maps)
        fclose(maps);
    if (dir)
        closedir(dir);
    return found;
}

/*
 * Write over all memory that is shared with others, but our own counters: for each three words the file of the log and a
 * size that cannot be, beginning with any of them. How many mappings there were.
 */
static int overwrite(unsigned first)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    struct stat log = {0};
    char line[512];
    uint64_t *begin, *end;
    int found = 0;

    fstat(log_descriptor(), &log);
    const uint64_t words[] = {log.st_dev, log.st_ino, 1 << 30};
    while (maps && fgets(line, sizeof(line), maps)) {
        if (!strstr(line, " rw-s ") || strstr(line, "ccserver-stats") ||
            sscanf(line, "%lx-%lx", (unsigned long *)&begin, (unsigned long *)&end) != 2)
            continue;
        found++;
        for (unsigned i = first; begin < end; i++)
            *begin++ = words[i % 3];
    }
    if (maps)
        fclose(maps);
    return found;
}

static void beat_by_proxy(struct stats_block *stats)
{
    if (in_another_process()) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make a report of it */
        for (;;) {
            stats_count(&stats->turns, 1);
            usleep(10000);
        }
    }
    for (;;)
        pause();
}

/* Do what the words say; false when they are not known. */
static int lie(struct session *session, const char *words)
{
    const struct worker_env *env = core_of(session)->env;
    struct stats_block *stats = env->stats;
    unsigned a = 0, b = 0;

    if (sscanf(words, "size %u", &a) == 1)
        send_size(env->channel, a);
    else if (sscanf(words, "say %u %u", &a, &b) == 2)
        send_message(env->channel, a, b, 0, -1);
    else if (strcmp(words, "descriptor") == 0)
        send_message(env->channel, CHANNEL_MISSED, 0, 1, 0);
    else if (strcmp(words, "descriptor unsaid") == 0)
        send_message(env->channel, CHANNEL_LEAVING, 0, 0, 0);
    else if (strcmp(words, "descriptor missing") == 0)
        send_message(env->channel, CHANNEL_LEAVING, 0, 3, -1);
    else if (sscanf(words, "flood %u", &a) == 1)
        flood(env->channel, a);
    else if (strcmp(words, "hang up") == 0)
        close(env->channel);
    else if (strcmp(words, "taken") == 0)
        stats->taken = 0x40000000;
    else if (strcmp(words, "free") == 0)
        stats->taken = 0;
    else if (strcmp(words, "head") == 0)
        memset(stats, 0x41, 16);
    else if (strcmp(words, "closed") == 0)
        stats_count(&section_of(session)->stats->closed[0], 1000000);
    else if (strcmp(words, "everything") == 0)
        memset(stats->listeners, 0x41, sizeof(stats->listeners));
    else if (strcmp(words, "die closed") == 0 || strcmp(words, "die taken") == 0) {
        stats->taken = words[4] == 't' ? 0x40000000 : stats->taken;
        stats_count(&section_of(session)->stats->closed[0], words[4] == 'c' ? 1000000 : 0);
        _exit(1);
    } else if (strcmp(words, "beat") == 0)
        beat_by_proxy(stats);
    else
        return 0;
    return 1;
}
"""
