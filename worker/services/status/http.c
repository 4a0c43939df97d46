#include "worker/services/status/http.h"
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

const char *http_reason(enum http_status status)
{
    switch (status) {
    case HTTP_OK: return "OK";
    case HTTP_BAD_REQUEST: return "Bad Request";
    case HTTP_NOT_FOUND: return "Not Found";
    case HTTP_NOT_ALLOWED: return "Method Not Allowed";
    case HTTP_TIMEOUT: return "Request Timeout";
    case HTTP_TOO_LARGE: return "Content Too Large";
    case HTTP_PATH_TOO_LONG: return "URI Too Long";
    case HTTP_EXPECTATION_FAILED: return "Expectation Failed";
    case HTTP_MISDIRECTED: return "Misdirected Request";
    case HTTP_HEAD_TOO_LARGE: return "Request Header Fields Too Large";
    case HTTP_NOT_AVAILABLE: return "Service Unavailable";
    case HTTP_VERSION_UNKNOWN: return "HTTP Version Not Supported";
    }
    return "";
}

/* ---- pieces of a line ---- */

static bool is_printable(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
            return false;
    return true;
}

static bool is_token(const char *text, size_t size)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < size; i++) {
        char lower = (char)(text[i] | 0x20);
        bool is_letter = lower >= 'a' && lower <= 'z', is_digit = text[i] >= '0' && text[i] <= '9';
        if (!is_letter && !is_digit && !memchr(others, text[i], sizeof(others) - 1))
            return false;
    }
    return size > 0;
}

static bool is_word(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

/* Whether `word` is among the parts of a list; what follows a ';' belongs to a part and is not looked at. */
static bool has_word(const char *list, size_t size, const char *word)
{
    for (size_t at = 0; at < size; at++) {
        const char *comma = memchr(list + at, ',', size - at);
        size_t end = comma ? (size_t)(comma - list) : size, length = end - at;
        const char *option = memchr(list + at, ';', length);
        if (option)
            length = (size_t)(option - list) - at;
        while (length > 0 && (list[at] == ' ' || list[at] == '\t'))
            at++, length--;
        while (length > 0 && (list[at + length - 1] == ' ' || list[at + length - 1] == '\t'))
            length--;
        if (is_word(list + at, length, word))
            return true;
        at = end;
    }
    return false;
}

/* ---- lines ---- */

static enum http_status take_version(struct http_request *request, const char *version, size_t size)
{
    if (size != strlen("HTTP/1.1") || memcmp(version, "HTTP/", 5) != 0)
        return HTTP_BAD_REQUEST;
    if (memcmp(version + 5, "1.", 2) != 0 || (version[7] != '0' && version[7] != '1'))
        return HTTP_VERSION_UNKNOWN;
    request->is_old = request->is_last = version[7] == '0';
    return HTTP_OK;
}

static enum http_status take_first(struct http_request *request, const char *line, size_t size)
{
    const char *target = memchr(line, ' ', size), *end = line + size;
    const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;

    if (!version || !is_token(line, (size_t)(target - line)))
        return HTTP_BAD_REQUEST;
    size_t method = (size_t)(target++ - line), length = (size_t)(version++ - target);
    request->is_head = method == 4 && memcmp(line, "HEAD", 4) == 0;
    enum http_status status = take_version(request, version, (size_t)(end - version));
    if (status != HTTP_OK)
        return status;
    if (!request->is_head && (method != 3 || memcmp(line, "GET", 3) != 0))
        return HTTP_NOT_ALLOWED;
    if (length == 0 || target[0] != '/')
        return HTTP_BAD_REQUEST;
    const char *query = memchr(target, '?', length);
    if (query)
        length = (size_t)(query - target);
    if (length >= sizeof(request->path))
        return HTTP_PATH_TOO_LONG;
    memcpy(request->path, target, length);
    request->path[length] = '\0';
    return HTTP_OK;
}

static enum http_status take_host(struct http_request *request, const char *value, size_t size)
{
    if (request->has_host || size >= sizeof(request->host))
        return HTTP_BAD_REQUEST;
    request->has_host = true;
    memcpy(request->host, value, size);
    request->host[size] = '\0';
    return HTTP_OK;
}

/* A length other than 0 announces a body, which no request here has. */
static enum http_status take_length(struct http_request *request, const char *value, size_t size)
{
    if (request->has_length || size == 0)
        return HTTP_BAD_REQUEST;
    request->has_length = true;
    for (size_t i = 0; i < size; i++)
        if (value[i] < '0' || value[i] > '9')
            return HTTP_BAD_REQUEST;
    for (size_t i = 0; i < size; i++)
        if (value[i] != '0')
            return HTTP_TOO_LARGE;
    return HTTP_OK;
}

static enum http_status take_field(struct http_request *request, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);

    if (!colon || !is_token(line, (size_t)(colon - line))) /* so is a line that continues the last one */
        return HTTP_BAD_REQUEST;
    size_t name = (size_t)(colon - line);
    if (++request->fields > HTTP_FIELDS_MAX)
        return HTTP_HEAD_TOO_LARGE;
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    size = (size_t)(end - value);
    if (is_word(line, name, "Host"))
        return take_host(request, value, size);
    if (is_word(line, name, "Content-Length"))
        return take_length(request, value, size);
    if (is_word(line, name, "Transfer-Encoding"))
        return HTTP_BAD_REQUEST;
    if (is_word(line, name, "Expect"))
        return HTTP_EXPECTATION_FAILED;
    if (is_word(line, name, "Connection")) {
        request->closes |= has_word(value, size, "close");
        request->is_last = request->closes || (request->is_last && !has_word(value, size, "keep-alive"));
    } else if (is_word(line, name, "Accept")) {
        request->accepts_openmetrics |= has_word(value, size, "application/openmetrics-text");
    }
    return HTTP_OK;
}

bool http_line(struct http_request *request, const char *line, size_t size, enum http_status *status)
{
    *status = HTTP_OK;
    request->bytes += (unsigned)size + 2;
    if (request->bytes > HTTP_HEAD_MAX)
        *status = HTTP_HEAD_TOO_LARGE;
    else if (!is_printable(line, size) || (size == 0 && request->is_begun && !request->has_host && !request->is_old))
        *status = HTTP_BAD_REQUEST;
    else if (!request->is_begun && size > 0)
        *status = take_first(request, line, size);
    else if (size > 0)
        *status = take_field(request, line, size);
    else
        return request->is_begun; /* an empty line before a request means nothing */
    request->is_begun = true;
    return false;
}

/* ---- names ---- */

static bool is_address(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;
}

bool http_host_is_allowed(const char *host, const char *names)
{
    char name[HTTP_HOST_SIZE] = "";
    bool is_bracketed = host[0] == '[';
    size_t size = is_bracketed ? strcspn(++host, "]") : strcspn(host, ":");

    const char *behind = host + size + (is_bracketed && host[size] == ']');
    if (size == 0 || size >= sizeof(name) || (behind[0] != '\0' && behind[0] != ':') ||
        (behind[0] == ':' && behind[1 + strspn(behind + 1, "0123456789")] != '\0'))
        return false;
    memcpy(name, host, size);
    if (is_address(name) || (!is_bracketed && strcasecmp(name, "localhost") == 0))
        return true;
    while (!is_bracketed && *names) {
        names += strspn(names, ", \t");
        size_t length = strcspn(names, ", \t");
        if (length > 0 && is_word(names, length, name))
            return true;
        names += length;
    }
    return false;
}
