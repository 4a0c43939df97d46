/*
 * Requests of HTTP/1.0 and HTTP/1.1 that only read: line by line, nothing is kept but what decides the answer. What
 * another server in the way could understand otherwise is refused: bodies, folded fields, a second Host or
 * Content-Length.
 */
#ifndef WORKER_SERVICES_STATUS_HTTP_H
#define WORKER_SERVICES_STATUS_HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum { HTTP_LINE_MAX = 4096, HTTP_HEAD_MAX = 8192, HTTP_FIELDS_MAX = 64, HTTP_PATH_SIZE = 128, HTTP_HOST_SIZE = 256 };

/* Statuses, as the three digits of an answer. */
enum http_status {
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_NOT_ALLOWED = 405,
    HTTP_TIMEOUT = 408,
    HTTP_TOO_LARGE = 413,
    HTTP_PATH_TOO_LONG = 414,
    HTTP_EXPECTATION_FAILED = 417,
    HTTP_MISDIRECTED = 421,
    HTTP_HEAD_TOO_LARGE = 431,
    HTTP_NOT_AVAILABLE = 503,
    HTTP_VERSION_UNKNOWN = 505,
};

/* Zeroed before its first line. */
struct http_request {
    bool is_begun;             /* its first line is there */
    bool closes;               /* the client wants the connection to end with the answer */
    bool is_head, is_last;     /* HEAD; the connection ends with the answer */
    bool has_host, has_length; /* so far */
    bool is_old;               /* HTTP/1.0 */
    bool accepts_openmetrics;  /* beside the older text format */
    unsigned fields, bytes;    /* of the head, so far */
    char path[HTTP_PATH_SIZE]; /* without a query */
    char host[HTTP_HOST_SIZE]; /* as it was sent, with the port; "" where HTTP/1.0 has none */
};

/*
 * Take the next line of the head, without its end. True when that was the last one: the request is complete. With a
 * status other than HTTP_OK it is refused, and where the next request begins is not known.
 */
bool http_line(struct http_request *request, const char *line, size_t size, enum http_status *status);

/* "Not Found" */
const char *http_reason(enum http_status status);

/*
 * Whether a client may ask for the name `host`, with a port or without: an address, localhost, or one of `names`,
 * separated by blanks or commas. Any other name may have been made to stand for this address by its owner, who has a
 * page of his own ask for it.
 */
bool http_host_is_allowed(const char *host, const char *names);

#endif
