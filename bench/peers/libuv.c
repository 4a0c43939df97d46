/*
 * The echo on libuv as its guide writes it: a buffer for each read, given back when it has been written. The guide
 * takes buffers from malloc; with more than a few connections, glibc then returns that memory to the kernel and fetches
 * it again in every turn of the loop, which costs more than all the rest. So buffers are kept for reuse here, unless
 * --malloc asks for the guide's way.
 */
#include "bench/peers/peer.h"
#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096, BUFFER_SIZE = 64 * 1024 };

struct write_request {
    uv_write_t request;
    uv_buf_t buffer;
};

/* What a spare buffer holds. */
struct spare {
    struct spare *next;
};

static bool plain_malloc;
static struct spare *spares;

static void release(void *buffer)
{
    struct spare *spare = buffer;

    if (plain_malloc || !buffer) {
        free(buffer);
        return;
    }
    spare->next = spares;
    spares = spare;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    uv_close((uv_handle_t *)request->handle, on_closed);
    free(request);
}

static void on_alloc(uv_handle_t *handle, size_t suggested_size, uv_buf_t *buffer)
{
    (void)handle, (void)suggested_size; /* the suggestion is 64 KiB, always */
    void *memory = spares;
    if (memory)
        spares = spares->next;
    else
        memory = malloc(BUFFER_SIZE);
    *buffer = uv_buf_init(memory, memory ? BUFFER_SIZE : 0);
}

static void on_written(uv_write_t *request, int status)
{
    struct write_request *write = (struct write_request *)request;

    (void)status; /* a lost connection is noticed by its reading side */
    release(write->buffer.base);
    free(write);
}

/* Close after what is still to be written. */
static void end(uv_stream_t *client)
{
    uv_shutdown_t *request = malloc(sizeof(*request));

    uv_read_stop(client);
    if (request && uv_shutdown(request, client, on_shutdown) == 0)
        return;
    free(request);
    uv_close((uv_handle_t *)client, on_closed);
}

static void on_read(uv_stream_t *client, ssize_t size, const uv_buf_t *buffer)
{
    if (size > 0) {
        struct write_request *write = malloc(sizeof(*write));
        if (!write)
            err(EXIT_FAILURE, "write");
        write->buffer = uv_buf_init(buffer->base, (unsigned)size);
        uv_write(&write->request, client, &write->buffer, 1, on_written);
        return;
    }
    release(buffer->base);
    if (size < 0)
        end(client);
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = malloc(sizeof(*client));

    if (status < 0 || !client)
        errx(EXIT_FAILURE, "accept: %s", status < 0 ? uv_strerror(status) : "out of memory");
    uv_tcp_init(server->loop, client);
    if (uv_accept(server, (uv_stream_t *)client) == 0) {
        uv_tcp_nodelay(client, 1);
        uv_read_start((uv_stream_t *)client, on_alloc, on_read);
    } else {
        uv_close((uv_handle_t *)client, on_closed);
    }
}

int main(int argc, char **argv)
{
    plain_malloc = argc == 4 && strcmp(argv[1], "--malloc") == 0;
    if (argc - plain_malloc != 3)
        peer_usage("[--malloc] HOST PORT");
    struct sockaddr_in address = peer_address(argv[argc - 2], argv[argc - 1]);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    uv_tcp_init(loop, &server);
    int error = uv_tcp_open(&server, peer_listen(&address));
    if (error == 0)
        error = uv_listen((uv_stream_t *)&server, BACKLOG, on_connection);
    if (error)
        errx(EXIT_FAILURE, "libuv: %s", uv_strerror(error));
    peer_ready();
    return uv_run(loop, UV_RUN_DEFAULT);
}
