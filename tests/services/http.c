/*
 * HTTP/1.1: a page at "/", a file at "/file", and what is posted to "/echo" comes back.
 *
 *    line, line ... empty line ---> respond()     no body, or one that nobody wants: it is skipped
 *      |--- block ----------------> respond()     its size is Content-Length
 *      '--- line, block ... ------> respond()     chunks, each with its size in a line, then a trailer
 */
#include "worker/session.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { HEAD_MAX = 16 << 10, BODY_MAX = 1 << 20 };

static const char page[] = "<!doctype html><title>ccserver</title><p>It serves.\n";

struct config {
    char file[OPTION_STRING_SIZE];
};

static const struct option_row options[] = {
    {.name = "file", .type = OPTION_STRING, .offset = offsetof(struct config, file), .help = "what /file shows"},
    {0},
};

struct state {
    enum { IN_REQUEST, IN_FIELDS, IN_BODY, IN_CHUNK_SIZE, IN_CHUNK, IN_TRAILER } part;
    bool needs_host, is_chunked, is_wrong, expects;
    bool is_last; /* the connection ends with this answer */
    unsigned lengths;
    size_t line_bytes;
    char method[16], path[256];
    struct framing block;
    size_t body_size; /* as announced, or of the chunks so far */
    char *chunks;
};

/* ---- answers ---- */

/* The head of an answer. True when its `size` bytes are to follow: not for HEAD. */
static bool answer(struct session *session, const char *status, const char *fields, size_t size)
{
    const struct state *state = session_state(session);
    char head[256];
    int length = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%sConnection: %s\r\n\r\n", status,
                          size, fields, state->is_last ? "close" : "keep-alive");

    session_send(session, head, (size_t)length);
    return size > 0 && strcmp(state->method, "HEAD") != 0;
}

/* Nobody knows where the next request begins. */
static enum verdict refuse(struct session *session, const char *status)
{
    ((struct state *)session_state(session))->is_last = true;
    answer(session, status, "", 0);
    return SESSION_REJECT;
}

static void answer_file(struct session *session, const char *path)
{
    struct stat file;

    if (stat(path, &file) < 0 || !S_ISREG(file.st_mode))
        answer(session, "404 Not Found", "", 0);
    else if (answer(session, "200 OK", "", (size_t)file.st_size))
        session_send_file(session, open(path, O_RDONLY | O_CLOEXEC), 0, (uint64_t)file.st_size);
}

static enum verdict respond(struct session *session, const char *body, size_t size)
{
    const struct config *config = session_config(session);
    struct state *state = session_state(session);
    bool is_echo = strcmp(state->path, "/echo") == 0, is_page = strcmp(state->path, "/") == 0;
    bool reads = strcmp(state->method, "GET") == 0 || strcmp(state->method, "HEAD") == 0;

    if (!is_echo && !is_page && strcmp(state->path, "/file") != 0)
        answer(session, "404 Not Found", "", 0);
    else if (is_echo ? strcmp(state->method, "POST") != 0 : !reads)
        answer(session, "405 Method Not Allowed", is_echo ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n", 0);
    else if (is_echo && answer(session, "200 OK", "", size))
        session_send(session, body, size);
    else if (is_page && answer(session, "200 OK", "Content-Type: text/html\r\n", strlen(page)))
        session_send_static(session, page, strlen(page));
    else if (!is_echo && !is_page)
        answer_file(session, config->file);
    bool is_last = state->is_last;
    free(state->chunks);
    *state = (struct state){.part = IN_REQUEST};
    session_set_framing(session, NULL);
    return is_last ? SESSION_CLOSE : SESSION_CONTINUE;
}

/* ---- bodies ---- */

static enum verdict await_block(struct session *session, size_t size)
{
    struct state *state = session_state(session);

    state->block = (struct framing){.kind = FRAMING_BLOCK, .block_size = size};
    session_set_framing(session, &state->block);
    return SESSION_CONTINUE;
}

static enum verdict take_chunk(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    bool is_sound = memcmp(bytes + size - 2, "\r\n", 2) == 0;
    char *chunks = is_sound ? realloc(state->chunks, state->body_size + size) : NULL;

    if (!chunks)
        return is_sound ? SESSION_ABORT : refuse(session, "400 Bad Request");
    memcpy(chunks + state->body_size, bytes, size - 2);
    state->chunks = chunks;
    state->body_size += size - 2;
    state->line_bytes = 0; /* the limit is that of a head, not of many chunks */
    state->part = IN_CHUNK_SIZE;
    session_set_framing(session, NULL);
    return SESSION_CONTINUE;
}

static enum verdict take_chunk_size(struct session *session, const char *line)
{
    struct state *state = session_state(session);
    size_t digits = strspn(line, "0123456789abcdefABCDEF"), size = strtoul(line, NULL, 16);

    if (digits == 0 || !strchr("; \t", line[digits]))
        return refuse(session, "400 Bad Request");
    if (size > BODY_MAX - state->body_size)
        return refuse(session, "413 Content Too Large");
    state->part = size ? IN_CHUNK : IN_TRAILER;
    return size ? await_block(session, size + 2) : SESSION_CONTINUE;
}

/* ---- heads ---- */

static enum verdict take_request(struct session *session, const char *line)
{
    struct state *state = session_state(session);
    unsigned minor = 0;
    int end = 0;

    if (line[0] == '\0')
        return SESSION_CONTINUE;
    if (sscanf(line, "%15[A-Z] %255[^ ] HTTP/1.%1u%n", state->method, state->path, &minor, &end) != 3 || line[end])
        return refuse(session, "400 Bad Request");
    state->path[strcspn(state->path, "?")] = '\0';
    state->needs_host = minor > 0;
    state->is_last = minor == 0;
    state->part = IN_FIELDS;
    return SESSION_CONTINUE;
}

static enum verdict take_field(struct session *session, char *line)
{
    struct state *state = session_state(session);
    size_t name = strcspn(line, ": \t");
    char *value = line + name + 1;

    if (line[name] != ':')
        return refuse(session, "400 Bad Request");
    line[name] = '\0';
    value += strspn(value, " \t");
    value[strcspn(value, " \t")] = '\0'; /* the first word is enough */
    if (strcasecmp(line, "Host") == 0) {
        state->needs_host = false;
    } else if (strcasecmp(line, "Connection") == 0) {
        state->is_last = strcasecmp(value, "close") == 0;
    } else if (strcasecmp(line, "Expect") == 0) {
        state->expects = true;
    } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
        state->is_chunked = true;
        state->is_wrong |= strcasecmp(value, "chunked") != 0 || state->lengths++ > 0;
    } else if (strcasecmp(line, "Content-Length") == 0) {
        state->body_size = strtoul(value, NULL, 10);
        state->is_wrong |= !value[0] || value[strspn(value, "0123456789")] || state->lengths++ > 0;
    }
    return SESSION_CONTINUE;
}

static enum verdict end_fields(struct session *session)
{
    struct state *state = session_state(session);
    bool is_wanted = state->is_chunked || (state->body_size && strcmp(state->path, "/echo") == 0);

    if (state->is_wrong || state->needs_host)
        return refuse(session, "400 Bad Request");
    if (state->body_size > BODY_MAX)
        return refuse(session, "413 Content Too Large");
    if (!is_wanted) {
        state->is_last |= state->expects; /* who has not been told to go on may keep the body */
        session_skip(session, state->body_size);
        return respond(session, NULL, 0);
    }
    if (state->expects)
        session_send(session, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    state->part = state->is_chunked ? IN_CHUNK_SIZE : IN_BODY;
    return state->is_chunked ? SESSION_CONTINUE : await_block(session, state->body_size);
}

static enum verdict take_line(struct session *session, const char *bytes, size_t size)
{
    struct state *state = session_state(session);
    char line[HEAD_MAX + 1];

    state->line_bytes += size + 2;
    if (state->line_bytes > HEAD_MAX)
        return refuse(session, "431 Request Header Fields Too Large");
    memcpy(line, bytes, size);
    line[size] = '\0';
    if (strlen(line) != size)
        return refuse(session, "400 Bad Request");
    if (state->part == IN_REQUEST)
        return take_request(session, line);
    if (state->part == IN_CHUNK_SIZE)
        return take_chunk_size(session, line);
    if (state->part == IN_FIELDS)
        return size ? take_field(session, line) : end_fields(session);
    return size ? SESSION_CONTINUE : respond(session, state->chunks, state->body_size);
}

/* ---- the service ---- */

static enum verdict message(struct session *session, const char *bytes, size_t size)
{
    const struct state *state = session_state(session);

    if (state->part == IN_BODY)
        return respond(session, bytes, size);
    return state->part == IN_CHUNK ? take_chunk(session, bytes, size) : take_line(session, bytes, size);
}

static void oversize(struct session *session)
{
    refuse(session, "431 Request Header Fields Too Large");
}

static void closed(struct session *session, enum close_reason reason)
{
    (void)reason;
    free(((struct state *)session_state(session))->chunks);
}

const struct service http_service = {
    .name = "http",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = BODY_MAX + 2,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .message = message,
    .oversize = oversize,
    .close = closed,
};
