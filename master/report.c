#include "master/report.h"
#include "build_info.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- sums ---- */

/* The numbers that have ever had a worker: those of now, and those that have been retired. */
static unsigned numbers(const struct master *master)
{
    return master->world.stats->numbers_used;
}

/* All listeners of a block together. */
static struct stats_listener all_listeners(const struct stats_block *block)
{
    struct stats_listener total = {0};

    for (unsigned i = 0; i < STATS_LISTENERS_MAX; i++)
        stats_add(&total, &block->listeners[i]);
    return total;
}

/* Of every listener, all numbers together. */
struct totals {
    struct stats_listener listeners[STATS_LISTENERS_MAX];
};

static void sum_listeners(const struct master *master, struct totals *totals)
{
    struct stats_block block;

    memset(totals, 0, sizeof(*totals));
    for (unsigned i = 0; i < numbers(master); i++) {
        stats_sum(master->world.stats, i, &block);
        for (unsigned j = 0; j < STATS_LISTENERS_MAX; j++)
            stats_add(&totals->listeners[j], &block.listeners[j]);
    }
}

static double seconds_since(uint64_t then_ms)
{
    return then_ms ? (double)(clock_now_ms() - then_ms) / 1000 : 0;
}

/* The supervisor's clock is not the real one, but it is the one that `started_ms` is of. */
static double slot_uptime_s(const struct master *master, const struct slot *slot)
{
    return slot->pid ? (double)(master->world.now_ms - slot->supervised.started_ms) / 1000 : 0;
}

static uint64_t respawns(const struct master *master, enum stats_respawn why)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < numbers(master); i++)
        total += stats_read(&master->world.stats->books[i].respawns[why]);
    return total;
}

static const char *respawn_name(enum stats_respawn why)
{
    static const char *const names[] = {
#define X(name, help) #name,
        STATS_RESPAWNS(X)
#undef X
            "none",
    };
    return names[why];
}

/* ---- the log ---- */

typedef unsigned long long number;

enum { CELL_SIZE = 24 };

/* One row; the header is one too. Workers and listeners share the columns of traffic. */
static void log_row(const char *who, const char *pid, const char *state, const char *uptime, char traffic[][CELL_SIZE],
                    const char *turns_text, const char *longest)
{
    log_notice("  %-10s %7s %-8s %13s %7s %9s %11s %11s %13s %13s %8s %7s %7s %11s %9s", who, pid, state, uptime,
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

/* What has happened to a slot, and who serves its queues; only what is out of the ordinary. */
static void log_history(const struct master *master, const struct slot *slot)
{
    const struct stats_book *book = &master->world.stats->books[slot->number];
    char line[256] = "";

    for (unsigned i = 0; i < RESPAWNS; i++)
        append(line, sizeof(line), respawn_name(i), stats_read(&book->respawns[i]));
    if (line[0])
        log_notice("  %-10s started again by: %s; the last time: %s", "", line, respawn_name(slot->why));
    if (slot->conf && master->adopted[slot->number])
        log_notice("  %-10s its accept queues are adopted by its siblings", "");
    if (adopt_count(slot) > 0)
        log_notice("  %-10s has adopted the accept queues of %u others", "", adopt_count(slot));
}

static void log_worker(const struct master *master, const struct slot *slot, const struct stats_block *block)
{
    char who[CELL_SIZE], pid[CELL_SIZE], uptime[CELL_SIZE], turns[CELL_SIZE], longest[CELL_SIZE], traffic[9][CELL_SIZE];
    struct stats_listener total = all_listeners(block);

    snprintf(who, sizeof(who), "worker %u/%u", slot->number, slot->generation);
    snprintf(pid, sizeof(pid), "%d", (int)slot->pid);
    snprintf(uptime, sizeof(uptime), "%.1f/%.1f s", slot_uptime_s(master, slot), seconds_since(slot->ready_ms));
    snprintf(turns, sizeof(turns), "%llu", (number)stats_read(&block->turns));
    snprintf(longest, sizeof(longest), "%llu us", (number)stats_read(&block->longest_turn_us));
    fill_traffic(traffic, &total);
    log_row(who, pid, supervisor_state_name(slot->supervised.state), uptime, traffic, turns, longest);
    log_kinds("", &total, stats_read(&block->accept_pauses));
}

static void log_respawns(const struct master *master)
{
    char line[256] = "";

    for (unsigned i = 0; i < RESPAWNS; i++)
        append(line, sizeof(line), respawn_name(i), respawns(master, i));
    log_notice("  workers started again by: %s", line[0] ? line : "nothing");
}

void report_log(struct master *master)
{
    const struct generation *current = master->current;
    const struct slot *slot;
    struct stats_block block;
    struct totals totals;
    char traffic[9][CELL_SIZE];

    stats_sweep(master->world.stats, getpid());
    log_notice("statistics: master pid %d, up %.1f s, %u workers, generation %u, reloads: %u, refused: %u, upgrades: "
               "%llu, failed: %u",
               (int)getpid(), seconds_since(master->started_ms), current->count, current->number, master->reloads,
               master->reload_failures, (number)stats_read(&master->world.stats->upgrades), master->upgrades_failed);
    log_respawns(master);
    log_header("number/gen", "pid", "state", "up/ready", true);
    for (unsigned i = 0; i < current->count; i++) {
        stats_sum(master->world.stats, i, &block);
        log_worker(master, current->slots[i], &block);
        log_history(master, current->slots[i]);
    }
    LIST_FOREACH(slot, &master->leaving, link)
    if (slot->block)
        log_worker(master, slot, slot->block);
    sum_listeners(master, &totals);
    log_header("", "", "service", "", false);
    for (unsigned i = 0; i < current->conf.listener_count; i++) {
        const struct listener_config *listener = &current->conf.listeners[i];
        fill_traffic(traffic, &totals.listeners[listener->index]);
        log_row(listener->name, "", listener->service->name, "", traffic, "", "");
        log_kinds("", &totals.listeners[listener->index], 0);
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

static void json_respawns(FILE *out, const struct master *master, const struct stats_book *book)
{
    fprintf(out, "\"respawns\": {");
    for (unsigned i = 0; i < RESPAWNS; i++)
        fprintf(out, "%s\"%s\": %llu", i ? ", " : "", respawn_name(i),
                (number)(book ? stats_read(&book->respawns[i]) : respawns(master, i)));
    fprintf(out, "}");
}

static void json_worker(FILE *out, const struct master *master, const struct slot *slot,
                        const struct stats_block *block)
{
    struct stats_listener total = all_listeners(block);

    fprintf(out, "{\"slot\": %u, \"pid\": %d, \"generation\": %u, \"state\": \"%s\", \"uptime_s\": %.3f, ",
            slot->number, (int)slot->pid, slot->generation, supervisor_state_name(slot->supervised.state),
            slot_uptime_s(master, slot));
    fprintf(out, "\"ready_s\": %.3f, \"adopted\": %s, \"adopted_queues\": %u, ", seconds_since(slot->ready_ms),
            slot->conf && master->adopted[slot->number] ? "true" : "false", adopt_count(slot));
    if (slot->conf) {
        json_respawns(out, master, &master->world.stats->books[slot->number]);
        fprintf(out, ", \"last_reason\": \"%s\", ", respawn_name(slot->why));
    }
    fprintf(out, "\"turns\": %llu, \"longest_turn_us\": %llu, \"accept_pauses\": %llu, ",
            (number)stats_read(&block->turns), (number)stats_read(&block->longest_turn_us),
            (number)stats_read(&block->accept_pauses));
    json_traffic(out, &total);
    fprintf(out, "}");
}

static void json_workers(FILE *out, const struct master *master)
{
    struct stats_block block;
    const struct slot *slot;
    const char *comma = "";

    fprintf(out, " \"workers\": [");
    for (unsigned i = 0; i < master->current->count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        stats_sum(master->world.stats, i, &block);
        json_worker(out, master, master->current->slots[i], &block);
    }
    fprintf(out, "],\n \"leaving\": [");
    LIST_FOREACH(slot, &master->leaving, link)
    {
        if (!slot->block)
            continue;
        fprintf(out, "%s\n  ", comma);
        json_worker(out, master, slot, slot->block);
        comma = ",";
    }
    fprintf(out, "],\n");
}

static void json_listener(FILE *out, const struct listener_config *listener, const struct stats_listener *total)
{
    fprintf(out, "{\"name\": \"%s\", \"service\": \"%s\", \"addresses\": [", listener->name, listener->service->name);
    for (unsigned i = 0; i < listener->address_count; i++) {
        fprintf(out, "%s", i ? ", " : "");
        json_string(out, listener->addresses[i].text);
    }
    fprintf(out, "], ");
    json_traffic(out, total);
    fprintf(out, "}");
}

static void json_master(FILE *out, const struct master *master)
{
    const struct generation *current = master->current;

    fprintf(out, " \"master\": {\"pid\": %d, \"uptime_s\": %.3f, \"workers\": %u, \"generation\": %u, ", (int)getpid(),
            seconds_since(master->started_ms), current->count, current->number);
    fprintf(out, "\"reloads\": %u, \"reload_failures\": %u, \"upgrades\": %llu, \"upgrade_failures\": %u, ",
            master->reloads, master->reload_failures, (number)stats_read(&master->world.stats->upgrades),
            master->upgrades_failed);
    json_respawns(out, master, NULL);
    fprintf(out, "},\n");
}

static void json(FILE *out, const struct master *master)
{
    const struct conf *conf = &master->current->conf;
    time_t now = time(NULL);
    struct totals totals;
    struct tm date;
    char text[64];

    sum_listeners(master, &totals);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &date));
    fprintf(out, "{\"version\": \"" CCSERVER_VERSION "\", \"time\": \"%s\",\n", text);
    json_master(out, master);
    json_workers(out, master);
    fprintf(out, " \"listeners\": [");
    for (unsigned i = 0; i < conf->listener_count; i++) {
        fprintf(out, "%s\n  ", i ? "," : "");
        json_listener(out, &conf->listeners[i], &totals.listeners[conf->listeners[i].index]);
    }
    fprintf(out, "]}\n");
}

/* Beside the file, which is replaced by it: complete, or not at all. */
static int write_beside(const struct master *master, const char *path, char *temporary)
{
    int fd = file_create_beside(path, 0644, temporary);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

    if (!out) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
            unlink(temporary);
        }
        errno = error;
        return -1;
    }
    json(out, master);
    bool failed = fflush(out) != 0 || ferror(out);
    int error = errno;
    failed |= fclose(out) != 0;
    if (failed) {
        unlink(temporary);
        errno = error;
    }
    return failed ? -1 : 0;
}

int report_file(struct master *master, const char *path, char *why, size_t why_size)
{
    char temporary[PATH_MAX];

    stats_sweep(master->world.stats, getpid());
    if (!file_is_replaceable(path, why, why_size))
        return -1;
    if (write_beside(master, path, temporary) == 0) {
        if (rename(temporary, path) == 0)
            return 0;
        int error = errno;
        unlink(temporary);
        errno = error;
    }
    snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return -1;
}
