#include "master/report.h"
#include "build_info.h"
#include "common/clock.h"
#include "common/log.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- sums ---- */

/* What all processes of a slot have counted for one listener. A dead one's open sessions are `lost` already. */
static void sum_listener(struct stats_listener *total, const struct slot *slot, unsigned index)
{
    stats_add(total, &slot->total.listeners[index]);
    stats_add(total, &slot->env.stats->listeners[index]);
}

static struct stats_listener slot_total(const struct master *master, const struct slot *slot)
{
    struct stats_listener total = {0};

    for (unsigned i = 0; i < master->conf->listener_count; i++)
        sum_listener(&total, slot, i);
    return total;
}

static struct stats_listener listener_total(const struct master *master, unsigned index)
{
    struct stats_listener total = {0};

    for (unsigned i = 0; i < master->slots.count; i++)
        sum_listener(&total, &master->slots.all[i], index);
    return total;
}

static uint64_t longest_turn_us(const struct slot *slot)
{
    uint64_t dead = stats_read(&slot->total.longest_turn_us);
    uint64_t live = stats_read(&slot->env.stats->longest_turn_us);

    return dead > live ? dead : live;
}

static uint64_t turns(const struct slot *slot)
{
    return stats_read(&slot->total.turns) + stats_read(&slot->env.stats->turns);
}

static uint64_t accept_pauses(const struct slot *slot)
{
    return stats_read(&slot->total.accept_pauses) + stats_read(&slot->env.stats->accept_pauses);
}

static double seconds_since(uint64_t then_ms)
{
    return (double)(clock_now_ms() - then_ms) / 1000;
}

static double slot_uptime_s(const struct slot *slot)
{
    return slot->pid ? seconds_since(slot->supervised.started_ms) : 0;
}

static void respawns(const struct master *master, unsigned *by_signal, unsigned *by_exit)
{
    *by_signal = *by_exit = 0;
    for (unsigned i = 0; i < master->slots.count; i++) {
        *by_signal += master->slots.all[i].respawns_signal;
        *by_exit += master->slots.all[i].respawns_exit;
    }
}

/* ---- the log ---- */

typedef unsigned long long number;

enum { CELL_SIZE = 24 };

/* One row; the header is one too. Workers and listeners share the columns of traffic. */
static void log_row(const char *who, const char *pid, const char *state, const char *uptime, char traffic[][CELL_SIZE],
                    const char *turns_text, const char *longest)
{
    log_notice("  %-10s %7s %-8s %9s %7s %9s %11s %11s %13s %13s %8s %7s %7s %11s %9s", who, pid, state, uptime,
               traffic[0], traffic[1], traffic[2], traffic[3], traffic[4], traffic[5], traffic[6], traffic[7],
               traffic[8], turns_text, longest);
}

static void log_header(const char *who, const char *pid, const char *state, const char *uptime, bool with_turns)
{
    char traffic[][CELL_SIZE] = {"open",      "total",    "messages in", "out",   "bytes in",
                                 "bytes out", "timeouts", "refused",     "errors"};

    log_row(who, pid, state, uptime, traffic, with_turns ? "turns" : "", with_turns ? "longest" : "");
}

static void fill_traffic(char traffic[][CELL_SIZE], const struct stats_listener *total)
{
    const uint64_t values[] = {
        stats_open(total),
        stats_read(&total->accepted),
        stats_read(&total->messages_in),
        stats_read(&total->messages_out),
        stats_read(&total->bytes_in),
        stats_read(&total->bytes_out),
        stats_read(&total->closed[CLOSE_idle]),
        stats_read(&total->refused),
        stats_read(&total->protocol_errors) + stats_read(&total->upstream_failures),
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        snprintf(traffic[i], CELL_SIZE, "%llu", (number)values[i]);
}

static void append(char *line, size_t size, const char *name, uint64_t value)
{
    size_t used = strlen(line);

    if (value > 0)
        snprintf(line + used, size - used, "%s%s %llu", used ? ", " : "", name, (number)value);
}

/* How sessions have ended and what went wrong, by kind; only what has happened. */
static void log_kinds(const char *who, const struct stats_listener *total, uint64_t pauses)
{
    char line[512] = "";

#define X(name, help) append(line, sizeof(line), "closed/" #name, stats_read(&total->closed[CLOSE_##name]));
    STATS_CLOSE_REASONS(X)
#undef X
    append(line, sizeof(line), "lost with their worker", stats_read(&total->lost));
    append(line, sizeof(line), "protocol errors", stats_read(&total->protocol_errors));
    append(line, sizeof(line), "upstream failures", stats_read(&total->upstream_failures));
    append(line, sizeof(line), "accepting paused", pauses);
    if (line[0])
        log_notice("  %-10s %s", who, line);
}

static void log_worker(const struct slot *slot, const struct stats_listener *total)
{
    char who[CELL_SIZE], pid[CELL_SIZE], uptime[CELL_SIZE], turns_text[CELL_SIZE], longest[CELL_SIZE],
        traffic[9][CELL_SIZE];

    snprintf(who, sizeof(who), "worker %u", slot->env.slot);
    snprintf(pid, sizeof(pid), "%d", (int)slot->pid);
    snprintf(uptime, sizeof(uptime), "%.1f s", slot_uptime_s(slot));
    snprintf(turns_text, sizeof(turns_text), "%llu", (number)turns(slot));
    snprintf(longest, sizeof(longest), "%llu us", (number)longest_turn_us(slot));
    fill_traffic(traffic, total);
    log_row(who, pid, supervisor_state_name(slot->supervised.state), uptime, traffic, turns_text, longest);
}

void report_log(const struct master *master)
{
    const struct slots *slots = &master->slots;
    unsigned by_signal, by_exit;
    char traffic[9][CELL_SIZE];

    respawns(master, &by_signal, &by_exit);
    log_notice("statistics: master pid %d, up %.1f s, %u of %u workers, respawns: %u by signal, %u by exit",
               (int)getpid(), seconds_since(master->started_ms), slots_alive(slots), slots->count, by_signal, by_exit);
    log_header("", "pid", "state", "uptime", true);
    for (unsigned i = 0; i < slots->count; i++) {
        struct stats_listener total = slot_total(master, &slots->all[i]);
        log_worker(&slots->all[i], &total);
        log_kinds("", &total, accept_pauses(&slots->all[i]));
    }
    log_header("", "", "service", "", false);
    for (unsigned i = 0; i < master->conf->listener_count; i++) {
        const struct listener_config *listener = &master->conf->listeners[i];
        struct stats_listener total = listener_total(master, i);
        fill_traffic(traffic, &total);
        log_row(listener->name, "", listener->service->name, "", traffic, "", "");
        log_kinds("", &total, 0);
    }
}

/* ---- JSON ---- */

static void json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(out, "\\u%04x", *text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

/* The members of an object, without its braces. */
static void json_traffic(FILE *out, const struct stats_listener *total)
{
    const char *comma = "";

    fprintf(out, "\"sessions_open\": %llu", (number)stats_open(total));
#define X(name, help) fprintf(out, ", \"" #name "\": %llu", (number)stats_read(&total->name));
    STATS_COUNTERS(X)
#undef X
    fprintf(out, ", \"closed\": {");
#define X(name, help)                                                                                                  \
    fprintf(out, "%s\"" #name "\": %llu", comma, (number)stats_read(&total->closed[CLOSE_##name]));                    \
    comma = ", ";
    STATS_CLOSE_REASONS(X)
#undef X
    fprintf(out, "}");
}

static void json_worker(FILE *out, const struct master *master, const struct slot *slot)
{
    struct stats_listener total = slot_total(master, slot);

    fprintf(out,
            "{\"slot\": %u, \"pid\": %d, \"state\": \"%s\", \"uptime_s\": %.3f, \"turns\": %llu, "
            "\"longest_turn_us\": %llu, \"accept_pauses\": %llu, ",
            slot->env.slot, (int)slot->pid, supervisor_state_name(slot->supervised.state), slot_uptime_s(slot),
            (number)turns(slot), (number)longest_turn_us(slot), (number)accept_pauses(slot));
    json_traffic(out, &total);
    fprintf(out, "}");
}

static void json_listener(FILE *out, const struct master *master, const struct listener_config *listener)
{
    struct stats_listener total = listener_total(master, listener->index);

    fprintf(out, "{\"name\": \"%s\", \"service\": \"%s\", \"addresses\": [", listener->name, listener->service->name);
    for (unsigned i = 0; i < listener->address_count; i++) {
        fprintf(out, "%s", i ? ", " : "");
        json_string(out, listener->addresses[i].text);
    }
    fprintf(out, "], ");
    json_traffic(out, &total);
    fprintf(out, "}");
}

static void json(FILE *out, const struct master *master)
{
    unsigned by_signal, by_exit;
    time_t now = time(NULL);
    struct tm date;
    char text[64];

    respawns(master, &by_signal, &by_exit);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &date));
    fprintf(out,
            "{\"version\": \"" CCSERVER_VERSION
            "\", \"time\": \"%s\",\n \"master\": {\"pid\": %d, \"uptime_s\": %.3f, ",
            text, (int)getpid(), seconds_since(master->started_ms));
    fprintf(out, "\"workers\": %u, \"respawns\": {\"signal\": %u, \"exit\": %u}},\n \"workers\": [",
            master->slots.count, by_signal, by_exit);
    for (unsigned i = 0; i < master->slots.count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_worker(out, master, &master->slots.all[i]);
    }
    fprintf(out, "],\n \"listeners\": [");
    for (unsigned i = 0; i < master->conf->listener_count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_listener(out, master, &master->conf->listeners[i]);
    }
    fprintf(out, "]}\n");
}

int report_file(const struct master *master, const char *path)
{
    char temporary[PATH_MAX];

    if (snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid()) >= (int)sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    FILE *out = fopen(temporary, "we");
    if (!out)
        return -1;
    json(out, master);
    bool failed = fflush(out) != 0 || ferror(out);
    int error = errno;
    failed |= fclose(out) != 0;
    if (!failed && rename(temporary, path) == 0)
        return 0;
    error = failed ? error : errno;
    unlink(temporary);
    errno = error;
    return -1;
}
