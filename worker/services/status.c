/*
 * The server's status over HTTP, for people and for programs. It only reads: there is no way to change anything.
 *
 *    /             a page that shows it live          /livez      200 while somebody answers
 *    /metrics      for Prometheus                     /readyz     200 while new connections are served, else 503
 *    /status.json  all of it
 *
 *    line, line ... empty line ---> respond()         http.h knows which lines are none
 */
#include "common/report_json.h"
#include "common/report_metrics.h"
#include "worker/admin.h"
#include "worker/services/status/http.h"
#include "worker/services/status/page.h"
#include "worker/session.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A client has so long for the head of its first request, and of each further one. */
enum { FIRST_HEAD_MS = 10 * 1000, NEXT_HEAD_MS = 75 * 1000 };

static const char text_plain[] = "text/plain; charset=utf-8";

struct config {
    char hosts[OPTION_STRING_SIZE];
};

static const struct option_row options[] = {
    {.name = "status_hosts",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, hosts),
     .value = "",
     .help = "names by which browsers may ask for it, beside localhost and addresses, separated by commas"},
    {0},
};

struct state {
    struct http_request request;
};

/* ---- answers ---- */

/* Answer with `size` bytes. `fields` are further lines of the head, each with its end. */
static enum verdict answer(struct session *session, enum http_status status, const char *type, const char *fields,
                           const char *body, size_t size)
{
    struct state *state = session_state(session);
    bool is_last = state->request.is_last;
    char head[1024];
    int length = snprintf(head, sizeof(head),
                          "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n"
                          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
                          (int)status, http_reason(status), type, size, is_last ? "close" : "keep-alive", fields);

    session_send(session, head, (size_t)length);
    if (!state->request.is_head)
        session_send(session, body, size);
    state->request = (struct http_request){.is_begun = false};
    session_set_timer(session, NEXT_HEAD_MS);
    return is_last ? SESSION_CLOSE : SESSION_CONTINUE;
}

static enum verdict answer_text(struct session *session, enum http_status status, const char *text)
{
    char line[256];
    int size = snprintf(line, sizeof(line), "%s\n", text);

    return answer(session, status, text_plain, status == HTTP_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "", line,
                  (size_t)size);
}

/* Nobody knows where the next request begins. */
static enum verdict refuse(struct session *session, enum http_status status)
{
    struct state *state = session_state(session);

    state->request.is_last = true;
    answer_text(session, status, http_reason(status));
    return SESSION_REJECT;
}

/* ---- what there is ---- */

/* What `print` writes, as the answer. */
static enum verdict answer_printed(struct session *session, const char *type, void (*print)(FILE *, const void *),
                                   const void *of)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out)
        print(out, of);
    if (!out || fclose(out) != 0) {
        free(text);
        return SESSION_ABORT;
    }
    enum verdict verdict = answer(session, HTTP_OK, type, "", text, size);
    free(text);
    return verdict;
}

static void print_json(FILE *out, const void *report)
{
    report_json(out, report);
}

static void print_openmetrics(FILE *out, const void *report)
{
    report_metrics(out, report, METRICS_OPENMETRICS);
}

static void print_prometheus(FILE *out, const void *report)
{
    report_metrics(out, report, METRICS_PROMETHEUS);
}

static enum verdict answer_metrics(struct session *session, const struct report *report)
{
    const struct state *state = session_state(session);

    if (state->request.accepts_openmetrics)
        return answer_printed(session, "application/openmetrics-text; version=1.0.0; charset=utf-8", print_openmetrics,
                              report);
    return answer_printed(session, "text/plain; version=0.0.4; charset=utf-8", print_prometheus, report);
}

static enum verdict answer_ready(struct session *session, const struct report *report)
{
    const struct master_state *state = report->state;

    return answer_text(session, state->is_ready ? HTTP_OK : HTTP_NOT_AVAILABLE, state->is_ready ? "ok" : state->phase);
}

/* Only what bears the nonce of this answer may run in the page: nothing that somebody has put into it otherwise. */
static enum verdict answer_page(struct session *session)
{
    static const char mark[] = "NONCE-NONCE-NONCE-NONCE-NONCE-NO";
    uint64_t random[2];
    char nonce[sizeof(mark)], fields[512], page[sizeof(page_html)];

    if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return SESSION_ABORT;
    snprintf(nonce, sizeof(nonce), "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    snprintf(fields, sizeof(fields),
             "Content-Security-Policy: default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; "
             "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
             "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n",
             nonce, nonce);
    memcpy(page, page_html, sizeof(page));
    for (char *at = page; (at = strstr(at, mark));)
        memcpy(at, nonce, strlen(mark));
    return answer(session, HTTP_OK, "text/html; charset=utf-8", fields, page, sizeof(page) - 1);
}

static enum verdict respond(struct session *session)
{
    const struct config *config = session_config(session);
    const struct state *state = session_state(session);
    const char *path = state->request.path;

    if (state->request.has_host && !http_host_is_allowed(state->request.host, config->hosts))
        return answer_text(session, HTTP_MISDIRECTED, "this name is not among status_hosts");
    if (strcmp(path, "/livez") == 0)
        return answer_text(session, HTTP_OK, "ok");
    if (strcmp(path, "/") == 0)
        return answer_page(session);
    bool is_json = strcmp(path, "/status.json") == 0, is_metrics = strcmp(path, "/metrics") == 0;
    if (!is_json && !is_metrics && strcmp(path, "/readyz") != 0)
        return answer_text(session, HTTP_NOT_FOUND, "/, /metrics, /status.json, /livez and /readyz are there");
    const struct report *report = admin_report();
    if (!report)
        return answer_text(session, HTTP_NOT_AVAILABLE, strerror(errno));
    if (is_json)
        return answer_printed(session, "application/json", print_json, report);
    return is_metrics ? answer_metrics(session, report) : answer_ready(session, report);
}

/* ---- the service ---- */

static enum verdict opened(struct session *session)
{
    session_set_timer(session, FIRST_HEAD_MS);
    return SESSION_CONTINUE;
}

static enum verdict message(struct session *session, const char *line, size_t size)
{
    struct state *state = session_state(session);
    enum http_status status;
    bool is_complete = http_line(&state->request, line, size, &status);

    if (status != HTTP_OK)
        return refuse(session, status);
    return is_complete ? respond(session) : SESSION_CONTINUE;
}

static void oversize(struct session *session)
{
    refuse(session, HTTP_HEAD_TOO_LARGE);
}

static enum verdict timeout(struct session *session)
{
    const struct state *state = session_state(session);

    return state->request.is_begun ? refuse(session, HTTP_TIMEOUT) : SESSION_CLOSE;
}

const struct service status_service = {
    .name = "status",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = HTTP_LINE_MAX,
    .idle_timeout_ms = 75 * 1000,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .open = opened,
    .message = message,
    .oversize = oversize,
    .timeout = timeout,
};
