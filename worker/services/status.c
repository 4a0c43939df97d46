/*
 * The server's status over HTTP, for people and for programs. It only reads: there is no way to change anything.
 *
 *    /             a page that shows it live          /livez      200 while somebody answers
 *    /metrics      for Prometheus                     /readyz     200 while each pool serves, else 503 and why
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
enum { FIRST_HEAD_MS = 10 * 1000, NEXT_HEAD_MS = 30 * 1000 };

enum { GO_ON = 1 }; /* a timer */

static const char text_plain[] = "text/plain; charset=utf-8";

struct config {
    char hosts[OPTION_STRING_SIZE];
};

static const struct option_row options[] = {
    {.name = "status_hosts",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, hosts),
     .value = "",
     .help = "names by which it may be asked for, beside localhost and addresses, separated by commas"},
    {0},
};

struct state {
    struct http_request request;
    bool leaves; /* the worker does: what it answers from now on is its last answer */
};

/* ---- answers ---- */

/* Answer with `size` bytes. `fields` are further lines of the head, each with its end. */
static enum verdict answer(struct session *session, enum http_status status, const char *type, const char *fields,
                           const char *body, size_t size)
{
    struct state *state = session_state(session);
    bool is_last = state->request.is_last || state->leaves, has_body = !state->request.is_head;
    char head[1024];
    size_t length = (size_t)snprintf(
        head, sizeof(head),
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n%s\r\n",
        (int)status, http_reason(status), type, size, is_last ? "close" : "keep-alive", fields);
    char *room = session_reserve(session, length + size);

    if (!room)
        return SESSION_ABORT;
    memcpy(room, head, length);
    if (has_body)
        memcpy(room + length, body, size);
    session_commit(session, length + (has_body ? size : 0));
    state->request = (struct http_request){.is_begun = false};
    session_set_timer(session, NEXT_HEAD_MS);
    return is_last ? SESSION_CLOSE : SESSION_CONTINUE;
}

/* Whoever has sent a thousand requests at once is answered one at a time, so that others have their turn. */
static enum verdict let_others_go_first(struct session *session, enum verdict verdict)
{
    if (verdict == SESSION_CONTINUE) {
        session_pause(session);
        session_set_timer_of(session, GO_ON, 1);
    }
    return verdict;
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

/* A document, as it was printed last. */
struct document {
    const char *type;
    void (*print)(FILE *out, const struct report *report);
    uint64_t at_ms; /* of the report that it was printed from; 0: of none yet */
    char *text;
    size_t size;
};

static void print_openmetrics(FILE *out, const struct report *report)
{
    report_metrics(out, report, METRICS_OPENMETRICS);
}

static void print_prometheus(FILE *out, const struct report *report)
{
    report_metrics(out, report, METRICS_PROMETHEUS);
}

static struct document json = {.type = "application/json", .print = report_json};
static struct document openmetrics = {.type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
                                      .print = print_openmetrics};
static struct document prometheus = {.type = "text/plain; version=0.0.4; charset=utf-8", .print = print_prometheus};

/* Print it anew where the report is a newer one. -1: no memory. */
static int print_document(struct document *document, const struct report *report)
{
    char *text = NULL;
    size_t size = 0;

    if (document->at_ms == report->sums->at_ms)
        return 0;
    FILE *out = open_memstream(&text, &size);
    if (out)
        document->print(out, report);
    if (!out || fclose(out) != 0) {
        free(text);
        return -1;
    }
    free(document->text);
    document->text = text;
    document->size = size;
    document->at_ms = report->sums->at_ms;
    return 0;
}

static enum verdict answer_document(struct session *session, struct document *document, const struct report *report)
{
    if (print_document(document, report) < 0)
        return SESSION_ABORT;
    return let_others_go_first(session, answer(session, HTTP_OK, document->type, "", document->text, document->size));
}

static enum verdict answer_ready(struct session *session, const struct report *report)
{
    const char *why = state_unready(report->state);

    return answer_text(session, why ? HTTP_NOT_AVAILABLE : HTTP_OK, why ? why : "ok");
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
             "Referrer-Policy: no-referrer\r\n",
             nonce, nonce);
    memcpy(page, page_html, sizeof(page));
    for (char *at = page; (at = strstr(at, mark));)
        memcpy(at, nonce, strlen(mark));
    return let_others_go_first(session,
                               answer(session, HTTP_OK, "text/html; charset=utf-8", fields, page, sizeof(page) - 1));
}

static enum verdict respond(struct session *session)
{
    const struct config *config = session_config(session);
    const struct state *state = session_state(session);
    const char *path = state->request.path;

    if (state->request.has_host && !http_host_is_allowed(state->request.host, config->hosts))
        return answer_text(session, HTTP_MISDIRECTED, "[listen ...]: status_hosts does not have the name in Host");
    if (strcmp(path, "/livez") == 0)
        return answer_text(session, HTTP_OK, "ok");
    if (strcmp(path, "/") == 0)
        return answer_page(session);
    bool is_json = strcmp(path, "/status.json") == 0, is_metrics = strcmp(path, "/metrics") == 0;
    if (!is_json && !is_metrics && strcmp(path, "/readyz") != 0)
        return answer_text(session, HTTP_NOT_FOUND, "/, /metrics, /status.json, /livez and /readyz are there");
    const struct report *report = is_json || is_metrics ? admin_report() : admin_state();
    if (!report)
        return answer_text(session, HTTP_NOT_AVAILABLE, strerror(errno));
    if (is_json)
        return answer_document(session, &json, report);
    if (is_metrics)
        return answer_document(session, state->request.accepts_openmetrics ? &openmetrics : &prometheus, report);
    return answer_ready(session, report);
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

    if (session_queued(session) > 0) /* it does not read */
        return SESSION_ABORT;
    return state->request.is_begun ? refuse(session, HTTP_TIMEOUT) : SESSION_CLOSE;
}

/* GO_ON: the next request of those that have come at once. */
static enum verdict timer(struct session *session, unsigned number)
{
    (void)number;
    session_resume(session);
    return SESSION_CONTINUE;
}

static enum verdict draining(struct session *session)
{
    struct state *state = session_state(session);

    state->leaves = true;
    return SESSION_CONTINUE;
}

const struct service status_service = {
    .name = "status",
    .framing = {.kind = FRAMING_LINE},
    .max_frame = HTTP_LINE_MAX,
    .idle_timeout_ms = NEXT_HEAD_MS,
    .state_size = sizeof(struct state),
    .options = options,
    .config_size = sizeof(struct config),
    .open = opened,
    .message = message,
    .oversize = oversize,
    .timeout = timeout,
    .timer = timer,
    .draining = draining,
};
