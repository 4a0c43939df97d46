/*
 * The echo on libevent as its users write it: a bufferevent per connection, and the input buffer moved to the output
 * buffer without a copy.
 */
#include "bench/peers/peer.h"
#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>

static void on_read(struct bufferevent *conn, void *data)
{
    (void)data;
    evbuffer_add_buffer(bufferevent_get_output(conn), bufferevent_get_input(conn));
}

static void on_drained(struct bufferevent *conn, void *data)
{
    (void)data;
    bufferevent_free(conn);
}

static void on_event(struct bufferevent *conn, short what, void *data)
{
    (void)data;
    /* After the end of the input, what is still to be sent goes out first. */
    if (what & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(conn)) > 0)
        bufferevent_setcb(conn, NULL, on_drained, on_event, NULL);
    else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(conn);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int size, void *data)
{
    struct bufferevent *conn = bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

    (void)peer, (void)size, (void)data;
    if (!conn)
        errx(EXIT_FAILURE, "bufferevent_socket_new");
    peer_set_nodelay(fd);
    bufferevent_setcb(conn, on_read, NULL, on_event, NULL);
    bufferevent_enable(conn, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        peer_usage("HOST PORT");
    struct sockaddr_in address = peer_address(argv[1], argv[2]);
    struct event_base *base = event_base_new();
    int fd = peer_listen(&address);
    /* Backlog 0: the socket listens already. */
    if (!base || !evconnlistener_new(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd))
        errx(EXIT_FAILURE, "libevent");
    peer_ready();
    return event_base_dispatch(base) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
