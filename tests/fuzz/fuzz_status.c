/*
 * Heads of HTTP requests: whatever the bytes are, nothing is read or written beyond them, and what is accepted holds what
 * the service relies on.
 */
#include "worker/services/status/http.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A copy without a byte behind it, so that whoever reads on is noticed. */
static bool take(struct http_request *request, const uint8_t *line, size_t size, enum http_status *status)
{
    char *copy = malloc(size);

    memcpy(copy, line, size);
    bool complete = http_line(request, copy, size, status);
    free(copy);
    return complete;
}

static void check(const struct http_request *request, enum http_status status, bool complete)
{
    if (http_reason(status)[0] == '\0' || (complete && status != HTTP_OK))
        abort();
    if (complete && (request->path[0] != '/' || strlen(request->path) >= HTTP_PATH_SIZE ||
                     request->bytes > HTTP_HEAD_MAX || (!request->has_host && !request->is_old)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct http_request request = {.is_begun = false};
    enum http_status status;
    const uint8_t *end;

    while ((end = memchr(bytes, '\n', size))) {
        size_t line = (size_t)(end - bytes);
        bool complete = take(&request, bytes, line, &status);
        check(&request, status, complete);
        if (status != HTTP_OK)
            break;
        if (complete) {
            if (http_host_is_allowed(request.host, "one.example, two") && strpbrk(request.host, " \t/@"))
                abort();
            request = (struct http_request){.is_begun = false};
        }
        bytes += line + 1;
        size -= line + 1;
    }
    return 0;
}
