#include "master/report_json.h"
#include "build_info.h"
#include "common/log.h"
#include "master/adopt.h"
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

/* ---- strings ---- */

/* The length of the character that `text` begins with, as UTF-8; 0 when it is none (RFC 3629). */
static unsigned utf8_length(const unsigned char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* what needs so many bytes, and no fewer */
    unsigned length = text[0] < 0x80             ? 1
                      : (text[0] & 0xe0) == 0xc0 ? 2
                      : (text[0] & 0xf0) == 0xe0 ? 3
                      : (text[0] & 0xf8) == 0xf0 ? 4
                                                 : 0;
    if (length < 2)
        return length;
    uint32_t code = text[0] & (0xffU >> (length + 1));
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* also at the end of the text */
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[length] || code > 0x10ffff || surrogate ? 0 : length;
}

void report_json_string(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', out);
    while (*at) {
        unsigned length = utf8_length(at);
        if (length == 0)
            fprintf(out, "\\ufffd");
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, length, out);
        at += length ? length : 1;
    }
    fputc('"', out);
}

/* ---- pieces ---- */

/* The members of an object, without its braces. */
static void json_traffic(FILE *out, const struct stats_listener *traffic)
{
    const char *comma = "";

    fprintf(out, "\"sessions_open\": %" PRIu64, stats_open(traffic));
#define X(name, help) fprintf(out, ", \"" #name "\": %" PRIu64, stats_read(&traffic->name));
    STATS_COUNTERS(X)
#undef X
    fprintf(out, ", \"closed\": {");
#define X(name, help)                                                                                                  \
    fprintf(out, "%s\"" #name "\": %" PRIu64, comma, stats_read(&traffic->closed[CLOSE_##name]));                      \
    comma = ", ";
    STATS_CLOSE_REASONS(X)
#undef X
    fprintf(out, "}");
}

static void json_row(FILE *out, const struct report_row *row)
{
    fprintf(out, "\"turns\": %" PRIu64 ", \"longest_turn_us\": %" PRIu64 ", \"accept_pauses\": %" PRIu64 ", ",
            row->turns, row->longest_turn_us, row->accept_pauses);
    fprintf(out, "\"log_dropped\": %" PRIu64 ", ", row->log_dropped);
    json_traffic(out, &row->traffic);
}

static void json_respawns(FILE *out, const uint64_t *respawns)
{
    fprintf(out, "\"respawns\": {");
    for (unsigned i = 0; i < RESPAWNS; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", report_respawn_name(i), respawns[i]);
    fprintf(out, "}");
}

/* ---- workers ---- */

static void json_process(FILE *out, const struct master *master, const struct slot *slot)
{
    fprintf(out, "\"pool\": \"%s\", \"slot\": %u, \"pid\": %d, \"generation\": %u, ", slot->pool_name, slot->id,
            (int)slot->pid, slot->generation);
    fprintf(out, "\"state\": \"%s\", \"uptime_s\": %.3f, ", supervisor_state_name(slot->supervised.state),
            (double)report_slot_up_ms(master, slot) / 1000);
    fprintf(out, "\"ready_s\": %.3f, \"adopted\": %s, \"adopted_queues\": %u, ",
            (double)report_slot_ready_ms(slot) / 1000, report_is_adopted(master, slot) ? "true" : "false",
            adopt_count(slot));
}

/* A slot of the current generation: the process it has now, and what all that it has had have counted. */
static void json_worker(FILE *out, const struct master *master, const struct slot *slot, const struct report_row *row)
{
    uint64_t respawns[RESPAWNS];

    report_slot_respawns(master, slot, respawns);
    fprintf(out, "{");
    json_process(out, master, slot);
    json_respawns(out, respawns);
    fprintf(out, ", \"last_reason\": \"%s\", ", report_respawn_name(slot->reason));
    json_row(out, row);
    fprintf(out, "}");
}

/* A process beside the current one of its slot: it starts or drains. */
static void json_other(FILE *out, const struct master *master, const struct slot *slot, const char **comma)
{
    struct report_row row;

    if (!slot->block)
        return;
    report_sums_process(slot->block, &row);
    fprintf(out, "%s\n  {", *comma);
    json_process(out, master, slot);
    json_row(out, &row);
    fprintf(out, "}");
    *comma = ",";
}

static void json_workers(FILE *out, const struct master *master, const struct report_sums *sums)
{
    const struct generation *current = master->fleet.current, *next = master->fleet.next;
    const struct slot *slot;
    const char *comma = "";

    fprintf(out, " \"workers\": [");
    for (unsigned i = 0; i < current->pool_count; i++)
        for (unsigned j = 0; j < current->pools[i].count; j++, comma = ",") {
            fprintf(out, "%s\n  ", comma);
            json_worker(out, master, current->pools[i].slots[j],
                        report_sums_slot(master, sums, current->pools[i].slots[j]));
        }
    fprintf(out, "],\n \"starting\": [");
    comma = "";
    for (unsigned i = 0; next && i < next->pool_count; i++)
        for (unsigned j = 0; j < next->pools[i].count; j++)
            json_other(out, master, next->pools[i].slots[j], &comma);
    fprintf(out, "],\n \"leaving\": [");
    comma = "";
    LIST_FOREACH(slot, &master->fleet.leaving, link)
        json_other(out, master, slot, &comma);
    fprintf(out, "],\n");
}

/* ---- the document ---- */

/* What the listener's service counts itself. */
static void json_own(FILE *out, const struct service *service, const struct stats_listener *traffic)
{
    fprintf(out, ", \"own\": {");
    for (unsigned i = 0; service->counters && service->counters[i].name; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", service->counters[i].name, stats_read(&traffic->own[i]));
    fprintf(out, "}");
}

static void json_listener(FILE *out, const struct listener_config *listener, const struct stats_listener *traffic)
{
    fprintf(out, "{\"name\": ");
    report_json_string(out, listener->name);
    fprintf(out, ", \"service\": ");
    report_json_string(out, listener->service->name);
    fprintf(out, ", \"addresses\": [");
    for (unsigned i = 0; i < listener->address_count; i++) {
        fprintf(out, "%s", i ? ", " : "");
        report_json_string(out, listener->addresses[i].text);
    }
    fprintf(out, "], ");
    json_traffic(out, traffic);
    json_own(out, listener->service, traffic);
    fprintf(out, "}");
}

static void json_listeners(FILE *out, const struct master *master, const struct report_sums *sums)
{
    const struct conf *conf = &master->fleet.current->conf;

    fprintf(out, " \"listeners\": [");
    for (unsigned i = 0; i < conf->listener_count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_listener(out, &conf->listeners[i], report_sums_listener(sums, &conf->listeners[i]));
    }
    fprintf(out, "],\n");
}

static void json_gone(FILE *out, const struct master *master, const struct report_sums *sums)
{
    struct stats_listener listeners;
    struct report_row workers;

    report_sums_gone_workers(master, sums, &workers);
    report_sums_gone_listeners(master, sums, &listeners);
    fprintf(out, " \"gone\": {\"workers\": {");
    json_row(out, &workers);
    fprintf(out, "},\n  \"listeners\": {");
    json_traffic(out, &listeners);
    fprintf(out, "}}");
}

static void json_master(FILE *out, const struct master *master, const struct report_sums *sums)
{
    const struct generation *current = master->fleet.current;
    const struct stats_area *area = master->fleet.context.stats;
    const struct stats_service *service = &area->service;

    fprintf(out, " \"master\": {\"pid\": %d, \"state\": \"%s\", \"uptime_s\": %.3f, \"master_uptime_s\": %.3f, ",
            (int)getpid(), report_master_state(master),
            (double)report_ms_since(stats_read(&service->started_ms)) / 1000,
            (double)report_ms_since(master->started_ms) / 1000);
    fprintf(out, "\"workers\": %u, \"generation\": %u, ", generation_count(current), current->number);
    fprintf(out, "\"reloads\": %" PRIu64 ", \"reload_failures\": %" PRIu64 ", ", stats_read(&service->reloads),
            stats_read(&service->reload_failures));
    fprintf(out, "\"upgrades\": %" PRIu64 ", \"upgrade_failures\": %" PRIu64 ", ", stats_read(&area->upgrades),
            stats_read(&service->upgrade_failures));
    fprintf(out, "\"log_dropped\": %" PRIu64 ", ", log_dropped());
    json_respawns(out, sums->respawns);
    fprintf(out, "},\n");
}

void report_json(FILE *out, const struct master *master, const struct report_sums *sums)
{
    struct timespec now;
    struct tm date;
    char text[64];

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now.tv_sec, &date));
    fprintf(out, "{\"layout\": %d, \"version\": \"" CCSERVER_VERSION "\", ", REPORT_JSON_LAYOUT);
    fprintf(out, "\"time\": \"%s\", \"time_ms\": %" PRIu64 ",\n", text,
            (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    json_master(out, master, sums);
    json_workers(out, master, sums);
    json_listeners(out, master, sums);
    json_gone(out, master, sums);
    fprintf(out, "}\n");
}
