/*
 * The control pipe: order, and everything that is not one of our messages.
 */
#include "common/channel.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

static int fds[2];

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(channel_open(fds), 0);
}

static void end(void)
{
    close(fds[0]);
    close(fds[1]);
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
    struct channel_message message = {99, 99};

    begin();
    for (uint32_t i = 0; i < 2 * CHANNEL_TYPES; i++)
        for (unsigned side = 0; side < 2; side++)
            CU_ASSERT_EQUAL(channel_send(fds[side], i % CHANNEL_TYPES, i * 1000000007 + side), CHANNEL_OK);
    for (uint32_t i = 0; i < 2 * CHANNEL_TYPES; i++)
        for (unsigned side = 0; side < 2; side++) {
            CU_ASSERT_EQUAL(channel_receive(fds[1 - side], &message), CHANNEL_OK);
            CU_ASSERT_EQUAL(message.type, i % CHANNEL_TYPES);
            CU_ASSERT_EQUAL(message.value, i * 1000000007 + side);
        }
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message), CHANNEL_AGAIN);
    end();
}

static void check_broken(const void *bytes, size_t size)
{
    struct channel_message message;

    begin();
    CU_ASSERT_EQUAL(send(fds[0], bytes, size, 0), (ssize_t)size);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_READY, 0), CHANNEL_OK);
    errno = 0;
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADMSG);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_OK); /* the packet is gone as a whole */
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_AGAIN);
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
    check_broken(&(struct channel_message){CHANNEL_TYPES, 0}, sizeof(struct channel_message));
    check_broken(&(struct channel_message){UINT32_MAX, 0}, sizeof(struct channel_message));
}

/* What was said before the end is still heard. */
static void test_closed(void)
{
    struct channel_message message;

    begin();
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_STOP, 77), CHANNEL_OK);
    close(fds[0]);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_OK);
    CU_ASSERT_EQUAL(message.value, 77);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_CLOSED);
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
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message), CHANNEL_CLOSED);
    CU_ASSERT_EQUAL(channel_receive(fds[0], &message), CHANNEL_CLOSED);
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
        CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_OK);
        CU_ASSERT_EQUAL(message.value, i);
    }
    CU_ASSERT_EQUAL(channel_receive(fds[1], &message), CHANNEL_AGAIN);
    CU_ASSERT_EQUAL(channel_send(fds[0], CHANNEL_DRAIN, 0), CHANNEL_OK);
    end();
}

static void test_not_a_channel(void)
{
    struct channel_message message;

    errno = 0;
    CU_ASSERT_EQUAL(channel_receive(-1, &message), CHANNEL_BROKEN);
    CU_ASSERT_EQUAL(errno, EBADF);
    CU_ASSERT_EQUAL(channel_send(-1, CHANNEL_READY, 0), CHANNEL_BROKEN);
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
        {"not a channel", test_not_a_channel},
        {"names", test_names},
        {0},
    };
    return unit_main("channel", tests);
}
