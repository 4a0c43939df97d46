/*
 * A fuzzer without its engine: random inputs for some seconds, for builds whose compiler has none. What it finds, it
 * finds again with the seed that it prints.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { INPUT_MAX = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* xorshift64* */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

static uint64_t current;

static void tell_seed(int number)
{
    fprintf(stderr, "the seed was %" PRIu64 "\n", current);
    signal(number, SIG_DFL);
    raise(number);
}

static void run(uint64_t seed)
{
    static uint8_t bytes[INPUT_MAX];
    uint64_t state = seed * 2 + 1;
    size_t size = 16 + (next_random(&state) >> 32) % (INPUT_MAX - 16);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(next_random(&state) >> 56);
    LLVMFuzzerTestOneInput(bytes, size);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* SECONDS [SEED]: for so long, from a seed that the clock gives; or the input of one seed alone. */
int main(int argc, char **argv)
{
    uint64_t begin = now_ns(), end = begin + (argc > 1 ? strtoull(argv[1], NULL, 10) : 5) * 1000000000, count = 0;

    signal(SIGABRT, tell_seed);
    signal(SIGSEGV, tell_seed);
    if (argc > 2) {
        run(strtoull(argv[2], NULL, 10));
        return EXIT_SUCCESS;
    }
    for (uint64_t seed = begin; now_ns() < end; seed++, count++) {
        current = seed;
        run(seed);
    }
    printf("%" PRIu64 " random inputs, no fault\n", count);
    return EXIT_SUCCESS;
}
