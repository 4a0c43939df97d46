/*
 * The control pipe: order, and everything that is not one of our messages.
 */
#include "common/channel.h"
#include "tests/unit/unit.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int fds[2];
static unsigned open_before;

static unsigned count_open(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void begin(void)
{
    open_before = count_open();
    CU_ASSERT_EQUAL_FATAL(channel_open(fds), 0);
}

static void end(void)
{
    close(fds[0]);
    close(fds[1]);
    CU_ASSERT_EQUAL(count_open(), open_before); /* nothing that came along has been forgotten */
}

static void test_flags(void)
{
    begin();
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CU_ASSERT(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    end();
}

static void test_order(void)
{
    struct channel_message message = {.type = 99, .value = 99, .count = 99};

    begin();
    for (uint32_t i = 0; i < 2 * CHANNEL_TYPES; i++)
        for (unsigned side = 0; side < 2; side++)
            CU_ASSERT_EQUAL(channel_send(fds[side], i % CHANNEL_TYPES, i * 1000000007 + side), CHANNEL_OK);
    for (uint32_t i = 0; i < 2 * CHANNEL_TYPES; i++)
        for (unsigned side = 0; side < 2; side++) {
            CU_ASSERT_EQUAL(channel_receive(fds[1 - side], &message, NULL), CHANNEL_OK);
            CU_ASSERT_EQUAL(message.type, i % CHANNEL_TYPES);
            CU_ASSERT_EQUAL(message.value, i * 1000000007 + side);
            CU_ASSERT_EQUAL(message.count, 0);
        }
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_AGAIN);
    end();
}

static void check_broken(const void *bytes, size_t size)
{
    struct channel_message message;

    begin();
    CU_ASSERT_EQUAL(send(fds[0], bytes, size, 0), (ssize_t)size);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_READY, 0), CHANNEL_OK);
    errno = 0;
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADMSG);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK); /* the packet is gone as a whole */
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_AGAIN);
    end();
}

static void test_wrong_size(void)
{
    struct {
        struct channel_message message;
        char more[1000];
    } packet = {0};

    check_broken(&packet, 1);
    check_broken(&packet, sizeof(packet.message) - 1);
    check_broken(&packet, sizeof(packet.message) + 1);
    check_broken(&packet, 2 * sizeof(packet.message));
    check_broken(&packet, sizeof(packet));
}

static void test_wrong_type(void)
{
    check_broken(&(struct channel_message){.type = CHANNEL_TYPES}, sizeof(struct channel_message));
    check_broken(&(struct channel_message){.type = UINT32_MAX}, sizeof(struct channel_message));
}

/* What was said before the end is still heard. */
static void test_closed(void)
{
    struct channel_message message;

    begin();
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_STOP, 77), CHANNEL_OK);
    close(fds[0]);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.value, 77);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(channel_send(fds[1], CHANNEL_READY, 0), CHANNEL_CLOSED); /* and no SIGPIPE */
    close(fds[1]);
}

/* The other side went away with our message unread. */
static void test_closed_unread(void)
{
    struct channel_message message;

    begin();
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_READY, 0), CHANNEL_OK);
    close(fds[1]);
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message, NULL), CHANNEL_CLOSED);
    close(fds[0]);
}

static void test_would_block(void)
{
    struct channel_message message;
    uint32_t sent = 0;

    begin();
    while (sent < 1000000 && channel_send(fds[0], CHANNEL_DRAIN, sent) == CHANNEL_OK)
        sent++;
    CU_ASSERT(sent > 0 && sent < 1000000);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_DRAIN, sent), CHANNEL_AGAIN);
    for (uint32_t i = 0; i < sent; i++) {
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK);
        CU_ASSERT_EQUAL(message.value, i);
    }
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_AGAIN);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_DRAIN, 0), CHANNEL_OK);
    end();
}

/* A kernel that is short of memory: the next sendmsg() or recvmsg() fails with this. */
static int refusal;

static bool is_refused(void)
{
    errno = refusal;
    refusal = 0;
    return errno;
}

ssize_t sendmsg(int fd, const struct msghdr *packet, int flags)
{
    return is_refused() ? -1 : syscall(SYS_sendmsg, fd, packet, flags);
}

ssize_t recvmsg(int fd, struct msghdr *packet, int flags)
{
    return is_refused() ? -1 : syscall(SYS_recvmsg, fd, packet, flags);
}

static void test_shortage(void)
{
    static const int errors[] = {EAGAIN, EINTR, ENOBUFS, ENOMEM};
    struct channel_message message;

    begin();
    for (uint32_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        refusal = errors[i];
        CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_DRAIN, i), CHANNEL_AGAIN);
        CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_DRAIN, i), CHANNEL_OK);
        refusal = errors[i];
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_AGAIN);
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK);
        CU_ASSERT_EQUAL(message.value, i);
    }
    end();
}

/* A message that says of descriptors what cannot be. */
static void test_wrong_count(void)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .count = 1};

    begin();
    CU_ASSERT_EQUAL(send(fds[0], &message, sizeof(message), 0), sizeof(message));
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_BROKEN);
    message = (struct channel_message){.type = CHANNEL_ADOPT, .count = CHANNEL_FDS_MAX + 1};
    CU_ASSERT_EQUAL(send(fds[0], &message, sizeof(message), 0), sizeof(message));
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, (int[CHANNEL_FDS_MAX]){0}), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADMSG);
    end();
}

static void test_not_a_channel(void)
{
    struct channel_message message;

    errno = 0;
    CU_ASSERT_EQUAL(channel_receive(-1, &message, NULL), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADF);
    CU_ASSERT_EQUAL(channel_send(-1, CHANNEL_READY, 0), CHANNEL_BROKEN);
}

/* ---- with descriptors ---- */

static int pipes[CHANNEL_FDS_MAX][2], arrived[CHANNEL_FDS_MAX];

static void open_pipes(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CU_ASSERT_EQUAL_FATAL(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_pipes(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

/* Send the writing ends of the first `count` pipes, said to be `said`. */
static void send_pipes(unsigned count, uint32_t said)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .value = 7, .count = said};
    struct iovec part = {&message, sizeof(message)};
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int) * 2 * CHANNEL_FDS_MAX)] = {0};
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);

    *header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &pipes[i % CHANNEL_FDS_MAX][1], sizeof(int));
    CU_ASSERT_EQUAL(sendmsg(fds[0], &packet, 0), sizeof(message));
}

/* `fd` is the writing end of pipe `i`. */
static void check_usable(int fd, unsigned i)
{
    char byte = 0;

    CU_ASSERT_EQUAL(write(fd, "x", 1), 1);
    CU_ASSERT_EQUAL(read(pipes[i][0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 'x');
}

static void check_arrived(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CU_ASSERT(fcntl(arrived[i], F_GETFD) & FD_CLOEXEC);
        check_usable(arrived[i], i);
        close(arrived[i]);
    }
}

static void test_descriptors(void)
{
    static const unsigned counts[] = {1, 2, 0, CHANNEL_FDS_MAX - 1, CHANNEL_FDS_MAX};
    enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };
    struct channel_message message = {.type = CHANNEL_ADOPT};
    int ours[CHANNEL_FDS_MAX];

    begin();
    open_pipes(CHANNEL_FDS_MAX);
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++) {
        ours[i] = pipes[i][1];
        message.address[i] = (uint16_t)(1000 + i);
    }
    for (unsigned i = 0; i < COUNTS; i++) {
        message.value = i;
        message.count = counts[i];
        CU_ASSERT_EQUAL(channel_send_fds(fds[0], &message, ours), CHANNEL_OK);
    }
    for (unsigned i = 0; i < COUNTS; i++) {
        memset(&message, 0xff, sizeof(message));
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_OK);
        CU_ASSERT(message.type == CHANNEL_ADOPT && message.value == i && message.count == counts[i]);
        for (unsigned j = 0; j < counts[i]; j++)
            CU_ASSERT_EQUAL(message.address[j], 1000 + j);
        check_arrived(message.count);
    }
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_AGAIN);
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
        check_usable(pipes[i][1], i); /* the sender's are still the sender's */
    close_pipes(CHANNEL_FDS_MAX);
    end();
}

/* They are there although the sender has closed its own, and has gone. */
static void test_descriptors_outlive_the_sender(void)
{
    struct channel_message message = {.type = CHANNEL_ADOPT, .count = 1};
    char byte;

    begin();
    open_pipes(1);
    CU_ASSERT_EQUAL(channel_send_fds(fds[0], &message, &pipes[0][1]), CHANNEL_OK);
    close(pipes[0][1]);
    close(fds[0]);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.count, 1);
    check_arrived(1);
    CU_ASSERT_EQUAL(read(pipes[0][0], &byte, 1), 0); /* that was the last one */
    close(pipes[0][0]);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_CLOSED);
    close(fds[1]);
    CU_ASSERT_EQUAL(count_open(), open_before);
}

/* A receiver without room gets as many as fit, and is told how many. */
static void test_out_of_descriptors(void)
{
    struct rlimit before, tight;
    struct channel_message message;

    for (unsigned room = 0; room <= 3; room++) {
        begin();
        open_pipes(3);
        send_pipes(3, 3);
        int next = dup(0); /* the lowest free number: ours are dense above it */
        close(next);
        CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
        tight = (struct rlimit){.rlim_cur = (rlim_t)next + room, .rlim_max = before.rlim_max};
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_OK);
        CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
        CU_ASSERT(message.type == CHANNEL_ADOPT && message.value == 7);
        CU_ASSERT_EQUAL(message.count, room);
        check_arrived(message.count);
        close_pipes(3);
        end();
    }
}

/* `count` descriptors come, but `said` are announced; `taken`: those who receive are ready for some. */
static void check_unexpected(unsigned count, uint32_t said, bool taken)
{
    struct channel_message message;

    begin();
    open_pipes(CHANNEL_FDS_MAX);
    send_pipes(count, said);
    close_pipes(CHANNEL_FDS_MAX);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_RELEASE, 8), CHANNEL_OK);
    errno = 0;
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, taken ? arrived : NULL), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADMSG);
    CU_ASSERT_EQUAL(count_open(), open_before + 2);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, NULL), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.value, 8);
    end();
}

static void test_unexpected_descriptors(void)
{
    check_unexpected(1, 0, true);
    check_unexpected(3, 2, true);
    check_unexpected(CHANNEL_FDS_MAX, CHANNEL_FDS_MAX - 1, true);
}

static void test_descriptors_for_nobody(void)
{
    check_unexpected(1, 0, false);
    check_unexpected(2, 2, false);
    check_unexpected(CHANNEL_FDS_MAX, 0, false);
}

/* More than a message can name: what is left of them is closed, too. */
static void test_too_many_descriptors(void)
{
    struct channel_message message;

    begin();
    open_pipes(CHANNEL_FDS_MAX);
    send_pipes(CHANNEL_FDS_MAX + 9, CHANNEL_FDS_MAX + 9);
    if (channel_receive(fds[1], &message, arrived) == CHANNEL_OK) {
        CU_ASSERT_EQUAL(message.count, CHANNEL_FDS_MAX);
        check_arrived(CHANNEL_FDS_MAX);
    }
    close_pipes(CHANNEL_FDS_MAX);
    end();
}

/* A packet that is none of our messages takes what came with it to its grave. */
static void test_descriptors_with_garbage(void)
{
    struct channel_message message;
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {"garbage", 7};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};

    begin();
    open_pipes(1);
    *CMSG_FIRSTHDR(&packet) = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), &pipes[0][1], sizeof(int));
    CU_ASSERT_EQUAL(sendmsg(fds[0], &packet, 0), 7);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message, arrived), CHANNEL_BROKEN);
    close_pipes(1);
    end();
}

static void test_unread_descriptors(void)
{
    begin();
    open_pipes(2);
    send_pipes(2, 2);
    close_pipes(2);
    end();
}

static void test_names(void)
{
    CU_ASSERT_STRING_EQUAL(channel_name(CHANNEL_READY), "READY");
    CU_ASSERT_STRING_EQUAL(channel_name(CHANNEL_REOPEN_LOG), "REOPEN_LOG");
    CU_ASSERT_STRING_EQUAL(channel_name(CHANNEL_TYPES), "unknown");
    CU_ASSERT_STRING_EQUAL(channel_name(UINT32_MAX), "unknown");
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"flags", test_flags},
        {"order", test_order},
        {"wrong size", test_wrong_size},
        {"wrong type", test_wrong_type},
        {"closed", test_closed},
        {"closed, unread", test_closed_unread},
        {"would block", test_would_block},
        {"shortage", test_shortage},
        {"wrong count", test_wrong_count},
        {"not a channel", test_not_a_channel},
        {"descriptors", test_descriptors},
        {"descriptors outlive the sender", test_descriptors_outlive_the_sender},
        {"out of descriptors", test_out_of_descriptors},
        {"unexpected descriptors", test_unexpected_descriptors},
        {"descriptors for nobody", test_descriptors_for_nobody},
        {"too many descriptors", test_too_many_descriptors},
        {"descriptors with garbage", test_descriptors_with_garbage},
        {"unread descriptors", test_unread_descriptors},
        {"names", test_names},
        {0},
    };
    return unit_main("channel", tests);
}
