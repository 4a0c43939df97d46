/*
 * The histogram of the load client against sorted samples. histogram.c is compiled into this program: it is not part of
 * the server.
 */
#include "tests/unit/unit.h"
#include <math.h>
#include <string.h>

#include "bench/histogram.c"

enum { SAMPLES = 20000 };

static struct histogram histogram;
static uint64_t samples[SAMPLES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Within one per cent, and exact below 256. */
static bool is_close(uint64_t got, uint64_t want)
{
    uint64_t difference = got > want ? got - want : want - got;

    return want < 256 ? difference == 0 : difference <= want / 100;
}

static void check_against_samples(size_t count)
{
    static const uint32_t percentiles[] = {0, 1, 1000, 10000, 50000, 90000, 99000, 99900, 99990, 100000};
    double sum = 0;

    memset(&histogram, 0, sizeof(histogram));
    for (size_t i = 0; i < count; i++) {
        histogram_add(&histogram, samples[i]);
        sum += (double)samples[i];
    }
    qsort(samples, count, sizeof(*samples), compare);
    for (unsigned i = 0; i < sizeof(percentiles) / sizeof(*percentiles); i++) {
        size_t rank = (count * percentiles[i] + 99999) / 100000;
        uint64_t want = samples[rank > 0 ? rank - 1 : 0];
        CU_ASSERT(is_close(histogram_percentile(&histogram, percentiles[i]), want));
        CU_ASSERT(histogram_percentile(&histogram, percentiles[i]) <= histogram.max);
    }
    CU_ASSERT_EQUAL(histogram.count, count);
    CU_ASSERT_EQUAL(histogram.max, samples[count - 1]);
    CU_ASSERT(fabs(histogram_mean(&histogram) - sum / (double)count) <= sum / (double)count * 1e-6);
}

static void test_even(void)
{
    uint64_t state = 1;

    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = unit_below(&state, 5000000);
    check_against_samples(SAMPLES);
}

/* Every order of magnitude as often as any other, as latencies like to come. */
static void test_wide(void)
{
    uint64_t state = 2;

    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = (uint64_t)1 << unit_below(&state, 40) | unit_below(&state, 1000);
    check_against_samples(SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = unit_random(&state) >> unit_below(&state, 64) >> 16; /* the sum must fit */
    check_against_samples(SAMPLES);
}

static void test_few(void)
{
    uint64_t state = 3;

    for (size_t count = 1; count < 200; count++) {
        for (size_t i = 0; i < count; i++)
            samples[i] = 20000 + unit_below(&state, 100000);
        check_against_samples(count);
    }
}

/* One slow among a thousand is the maximum and nothing else. */
static void test_outlier(void)
{
    for (size_t i = 0; i < 999; i++)
        samples[i] = 1000;
    samples[999] = 50000000;
    check_against_samples(1000);
    CU_ASSERT(is_close(histogram_percentile(&histogram, 99900), 1000));
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 100000), histogram_percentile(&histogram, 99901));
    CU_ASSERT(is_close(histogram_percentile(&histogram, 100000), 50000000));
}

/* Buckets follow each other without a gap or an overlap. */
static void test_buckets(void)
{
    for (uint64_t value = 0; value < 1 << 20; value++) {
        unsigned bucket = histogram_bucket(value), next = histogram_bucket(value + 1);
        if (next != bucket && next != bucket + 1)
            CU_FAIL("buckets are not in order");
        if (!is_close(middle(bucket), value))
            CU_FAIL("the middle of a bucket is far away");
    }
    for (unsigned shift = 8; shift < 64; shift++) {
        uint64_t power = (uint64_t)1 << shift;
        CU_ASSERT_EQUAL(histogram_bucket(power), histogram_bucket(power - 1) + 1);
        CU_ASSERT(is_close(middle(histogram_bucket(power)), power));
        CU_ASSERT(is_close(middle(histogram_bucket(power - 1)), power - 1));
    }
    CU_ASSERT_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_merge(void)
{
    static struct histogram parts[3], whole, merged;
    uint64_t state = 4;

    for (size_t i = 0; i < SAMPLES; i++) {
        uint64_t value = unit_below(&state, 1 << 30);
        histogram_add(&parts[i % 3], value);
        histogram_add(&whole, value);
    }
    for (unsigned i = 0; i < 3; i++)
        histogram_merge(&merged, &parts[i]);
    CU_ASSERT_EQUAL(memcmp(&merged, &whole, sizeof(whole)), 0);
}

static void test_empty(void)
{
    memset(&histogram, 0, sizeof(histogram));
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50000), 0);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 100000), 0);
    CU_ASSERT_EQUAL(histogram_mean(&histogram), 0);
    histogram_add(&histogram, 0);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50000), 0);
    CU_ASSERT_EQUAL(histogram.count, 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"even", test_even},       {"wide", test_wide},   {"few", test_few},     {"outlier", test_outlier},
        {"buckets", test_buckets}, {"merge", test_merge}, {"empty", test_empty}, {0},
    };
    return unit_main("histogram", tests);
}
