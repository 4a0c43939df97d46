#include "bench/client.h"
#include <inttypes.h>
#include <stdlib.h>

static const char *const mode_names[] = {[MODE_STREAM] = "stream", [MODE_BATCH] = "batch", [MODE_CONNECT] = "connect"};

static const char *const failure_names[] = {
#define X(name, text) #name,
    CLIENT_FAILURES(X)
#undef X
};

static const char *const failure_texts[] = {
#define X(name, text) text,
    CLIENT_FAILURES(X)
#undef X
};

/* The figures of all threads together. */
struct total {
    struct counts counts;
    double elapsed_s, user_s, system_s, server_s;
    uint64_t messages, unfinished, errors, failures[FAILURES];
};

static double seconds(struct timeval begin, struct timeval end)
{
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_usec - begin.tv_usec) / 1e6;
}

/* `total` is all zero before. */
static void add_up(struct total *total, const struct run *run, const struct worker *workers, unsigned count)
{
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;

    total->server_s = (double)workers[0].server_cpu_ns / 1e9;
    for (const struct worker *w = workers; w < workers + count; w++) {
        total->counts.bytes += w->measured.bytes;
        total->counts.reads += w->measured.reads;
        total->counts.batches += w->measured.batches;
        histogram_merge(&total->counts.latency_ns, &w->measured.latency_ns);
        total->unfinished += w->unfinished_batches;
        total->user_s += seconds(w->usage_begin.ru_utime, w->usage_end.ru_utime);
        total->system_s += seconds(w->usage_begin.ru_stime, w->usage_end.ru_stime);
        begin_ns = w->begin_ns < begin_ns ? w->begin_ns : begin_ns;
        end_ns = w->end_ns > end_ns ? w->end_ns : end_ns;
        for (unsigned i = 0; i < FAILURES; i++) {
            total->failures[i] += w->failures[i];
            total->errors += w->failures[i];
        }
    }
    total->elapsed_s = end_ns > begin_ns ? (double)(end_ns - begin_ns) / 1e9 : 0;
    total->messages = total->counts.bytes / run->payload->message_size;
}

static double per_second(const struct total *total, double amount)
{
    return total->elapsed_s > 0 ? amount / total->elapsed_s : 0;
}

static double percentile_us(const struct total *total, uint32_t hundred_thousandths)
{
    return (double)histogram_percentile(&total->counts.latency_ns, hundred_thousandths) / 1e3;
}

/* What Msg/s counts. The words "Msg/s" stand in one line only, with a whole number: scripts look for them. */
static void print_rate(const struct total *total, const struct run *run, FILE *out)
{
    const char *what = run->config->bytes ? "batches" : run->config->lines ? "echoed lines" : "frames";

    fprintf(out, "%.0f Msg/s throughput (messages: %s of %u bytes)\n", per_second(total, (double)total->messages), what,
            run->payload->message_size);
}

static void print_text(const struct total *total, const struct run *run, FILE *out)
{
    const struct config *config = run->config;
    const struct counts *counts = &total->counts;
    double reads = counts->reads ? (double)counts->reads : 1;

    fprintf(out, "%" PRIu64 " total bytes read\n", counts->bytes);
    fprintf(out, "%" PRIu64 " total messages read\n", total->messages);
    fprintf(out, "%.2f average message size\n", total->messages ? (double)counts->bytes / (double)total->messages : 0);
    fprintf(out, "%.2f MiB/s throughput\n", per_second(total, (double)counts->bytes) / (1 << 20));
    print_rate(total, run, out);
    fprintf(out, "%.0f reads/s (what the original calls messages: %" PRIu64 " reads, of %.1f bytes each)\n",
            per_second(total, (double)counts->reads), counts->reads, (double)counts->bytes / reads);
    fprintf(out, "batches: %" PRIu64 ", latency in us: 50%% %.1f, 90%% %.1f, 99%% %.1f, 99.9%% %.1f, max %.1f\n",
            counts->batches, percentile_us(total, 50000), percentile_us(total, 90000), percentile_us(total, 99000),
            percentile_us(total, 99900), (double)counts->latency_ns.max / 1e3);
    if (config->server_count)
        fprintf(out, "server CPU: %.3f s, %.3f us for each message\n", total->server_s,
                total->messages ? total->server_s * 1e6 / (double)total->messages : 0);
    if (config->mode == MODE_CONNECT)
        fprintf(out, "connections: %.2f a second\n", per_second(total, (double)counts->batches));
    if (config->rate > 0)
        fprintf(out, "rate: %.2f batches a second of %.2f; not back at the end: %" PRIu64 "\n",
                per_second(total, (double)counts->batches), config->rate, total->unfinished);
}

static void print_json_string(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', out);
        if ((unsigned char)*text >= ' ')
            putc(*text, out);
    }
    putc('"', out);
}

static void print_json_config(const struct run *run, FILE *out)
{
    const struct config *config = run->config;
    const struct payload *payload = run->payload;

    fputs("{\n  \"config\": {\n    \"host\": ", out);
    print_json_string(out, config->host);
    fprintf(out, ",\n    \"port\": %d,\n", atoi(config->port));
    fprintf(out, "    \"threads\": %u,\n    \"sessions\": %u,\n", config->threads, config->sessions);
    fprintf(out, "    \"mode\": \"%s\",\n    \"payload\": \"%s\",\n", mode_names[config->mode],
            config->bytes   ? "bytes"
            : config->lines ? "lines"
                            : "frames");
    fprintf(out, "    \"frames\": %u,\n    \"bytes\": %u,\n", config->bytes || config->lines ? 0 : config->frames,
            config->bytes);
    fprintf(out, "    \"lines\": %u,\n    \"line_length\": %u,\n", config->lines,
            config->lines ? config->line_length : 0);
    fprintf(out, "    \"message_bytes\": %u,\n    \"request_bytes\": %u,\n    \"reply_bytes\": %u,\n",
            payload->message_size, payload->request_size, payload->reply_size);
    fprintf(out, "    \"time_s\": %g,\n    \"warmup_s\": %g,\n", config->batches ? 0 : config->time_s,
            config->warmup_s);
    fprintf(out, "    \"rate\": %.17g,\n    \"batches\": %" PRIu64 ",\n", config->rate, config->batches);
    fprintf(out, "    \"spin\": %s,\n    \"verify\": %s,\n", config->spin ? "true" : "false",
            config->verify ? "true" : "false");
    fprintf(out, "    \"cpu\": %d\n  },\n", config->cpu);
}

static void print_json_latency(const struct total *total, FILE *out)
{
    const struct histogram *latency = &total->counts.latency_ns;

    fputs("  \"latency\": {\n", out);
    fprintf(out, "    \"p50\": %.3f,\n    \"p90\": %.3f,\n", percentile_us(total, 50000), percentile_us(total, 90000));
    fprintf(out, "    \"p99\": %.3f,\n    \"p999\": %.3f,\n", percentile_us(total, 99000), percentile_us(total, 99900));
    fprintf(out, "    \"max\": %.3f,\n    \"mean\": %.3f,\n", (double)latency->max / 1e3,
            histogram_mean(latency) / 1e3);
    fprintf(out, "    \"count\": %" PRIu64 "\n  },\n", latency->count);
}

static void print_json(const struct total *total, const struct run *run, FILE *out)
{
    const struct counts *counts = &total->counts;
    uint64_t connections = run->config->mode == MODE_CONNECT ? counts->batches : 0;

    print_json_config(run, out);
    fprintf(out, "  \"elapsed_s\": %.6f,\n", total->elapsed_s);
    fprintf(out, "  \"bytes_read\": %" PRIu64 ",\n", counts->bytes);
    fprintf(out, "  \"messages\": %" PRIu64 ",\n", total->messages);
    fprintf(out, "  \"batches\": %" PRIu64 ",\n", counts->batches);
    fprintf(out, "  \"reads\": %" PRIu64 ",\n", counts->reads);
    fprintf(out, "  \"connections\": %" PRIu64 ",\n", connections);
    fprintf(out, "  \"mib_per_s\": %.3f,\n", per_second(total, (double)counts->bytes) / (1 << 20));
    fprintf(out, "  \"msg_per_s\": %.3f,\n", per_second(total, (double)total->messages));
    fprintf(out, "  \"batches_per_s\": %.3f,\n", per_second(total, (double)counts->batches));
    fprintf(out, "  \"connections_per_s\": %.3f,\n", per_second(total, (double)connections));
    print_json_latency(total, out);
    fprintf(out, "  \"unfinished\": %" PRIu64 ",\n", total->unfinished);
    fprintf(out, "  \"errors\": %" PRIu64 ",\n", total->errors);
    fprintf(out, "  \"connections_failed\": %" PRIu64 ",\n", total->failures[FAILURE_connect]);
    fputs("  \"failures\": {", out);
    for (unsigned i = 0; i < FAILURES; i++)
        fprintf(out, "%s\"%s\": %" PRIu64, i ? ", " : "", failure_names[i], total->failures[i]);
    fputs("},\n", out);
    if (run->config->server_count)
        fprintf(out, "  \"server_cpu_s\": %.6f,\n", total->server_s);
    fprintf(out, "  \"cpu_user_s\": %.6f,\n  \"cpu_sys_s\": %.6f\n}\n", total->user_s, total->system_s);
}

static void print_failures(const struct total *total, const struct worker *workers, unsigned count)
{
    for (unsigned i = 0; i < FAILURES; i++)
        if (total->failures[i])
            fprintf(stderr, "ccpp_client: %" PRIu64 " x %s\n", total->failures[i], failure_texts[i]);
    for (const struct worker *w = workers; w < workers + count; w++)
        if (w->first_failure[0])
            fprintf(stderr, "ccpp_client: the first of thread %u: %s\n", w->number, w->first_failure);
}

uint64_t report(const struct run *run, const struct worker *workers, unsigned count, FILE *text, FILE *json)
{
    static struct total total; /* too large for some stacks */

    add_up(&total, run, workers, count);
    if (!run->abandoned)
        print_text(&total, run, text);
    if (json)
        print_json(&total, run, json);
    print_failures(&total, workers, count);
    return total.errors;
}
