#include "master/inbox.h"
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 20 }; /* bytes that may wait; the kernel's net.core.wmem_max caps it */

struct inbox_list inboxes = TAILQ_HEAD_INITIALIZER(inboxes);

static uint32_t opened;

uint32_t inbox_newest(void)
{
    return opened;
}

int inbox_open(struct inbox *inbox)
{
    const int room = ROOM;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    inbox->reader = ends[0];
    inbox->writer = ends[1];
    inbox->number = ++opened;
    TAILQ_INSERT_TAIL(&inboxes, inbox, link);
    return 0;
}

bool inbox_is_shut(const struct inbox *inbox)
{
    struct pollfd ends[2] = {{.fd = inbox->reader}, {.fd = inbox->writer}};

    return inbox->number > 0 && poll(ends, 2, 0) > 0;
}

void inbox_close(struct inbox *inbox)
{
    if (inbox->number == 0)
        return;
    TAILQ_REMOVE(&inboxes, inbox, link);
    close(inbox->reader);
    close(inbox->writer);
    inbox->number = 0;
}
