/*
 * The load client, of the benchmarks and for whoever has scripts for the original's. It takes the same arguments and
 * prints the same five figures, but a message is a frame, not a read. See client.h for its files, --help for its
 * options.
 */
#include "bench/client.h"
#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Room for the sessions and a few descriptors more. */
static void raise_descriptor_limit(const struct config *config)
{
    rlim_t need = config->sessions + 64 + 2 * config->threads;
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= need)
        return;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need; /* only root may */
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        err(EXIT_FAILURE, "%u sessions need %lu descriptors", config->sessions, (unsigned long)need);
}

static struct run run;

static void interrupt(int number)
{
    (void)number;
    atomic_store_explicit(&run.interrupted, true, memory_order_relaxed);
}

/* Ctrl-C asks for the figures so far; a second one, or one before anything was measured, ends the process. */
static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static struct worker *start_workers(const struct config *config)
{
    struct worker *workers = aligned_alloc(_Alignof(struct worker), config->threads * sizeof(*workers));
    uint32_t next = 0;

    if (!workers)
        err(EXIT_FAILURE, "%u threads", config->threads);
    memset(workers, 0, config->threads * sizeof(*workers));
    for (unsigned i = 0; i < config->threads; i++) {
        struct worker *worker = &workers[i];
        worker->run = &run;
        worker->number = i;
        worker->first_session = next;
        worker->session_count = config->sessions / config->threads + (i < config->sessions % config->threads);
        next += worker->session_count;
        int error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error)
            errx(EXIT_FAILURE, "thread %u: %s", i, strerror(error));
    }
    return workers;
}

/* Let the threads go when all of them are connected. */
static void run_workers(const struct worker *workers)
{
    pthread_barrier_wait(&run.barrier);
    for (unsigned i = 0; i < run.config->threads; i++)
        if (workers[i].first_failure[0])
            run.abandoned = true;
    if (!run.abandoned)
        catch_interrupt();
    run.start_ns = client_now_ns();
    pthread_barrier_wait(&run.barrier);
    for (unsigned i = 0; i < run.config->threads; i++)
        pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
    struct config config;
    struct payload payload;
    FILE *text = stdout, *json = NULL;

    options_parse(&config, argc, argv);
    run.config = &config;
    run.payload = &payload;
    if (config.json) {
        bool to_stdout = strcmp(config.json, "-") == 0;
        json = to_stdout ? stdout : fopen(config.json, "w");
        text = to_stdout ? stderr : stdout;
        if (!json)
            err(EXIT_FAILURE, "%s", config.json);
    }
    raise_descriptor_limit(&config);
    if (payload_init(&payload, &config) == -1)
        err(EXIT_FAILURE, "payload");
    pthread_barrier_init(&run.barrier, NULL, config.threads + 1);
    struct worker *workers = start_workers(&config);
    run_workers(workers);
    if (atomic_load(&run.interrupted))
        fputs("ccpp_client: interrupted: the figures so far\n", stderr);
    uint64_t errors = report(&run, workers, config.threads, text, json);
    if (json && fclose(json) == EOF)
        err(EXIT_FAILURE, "%s", config.json);
    pthread_barrier_destroy(&run.barrier);
    payload_fini(&payload);
    free(workers);
    return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
