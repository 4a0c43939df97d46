/*
 * Whole numbers are printed as printf prints them.
 */
#include "common/digits.h"
#include "tests/unit/unit.h"
#include <inttypes.h>

static const uint64_t values[] = {0,     1,          9,     10,    99,         100,
                                  12345, UINT32_MAX, 10000, 70000, 1000000000, 10000000000000000000U};
enum { VALUES = sizeof(values) / sizeof(values[0]) };

static void print_each(FILE *out, const uint64_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", " : "", out);
        digits_print(out, list[i]);
    }
}

/* What `print` prints of them must be what printf does. */
static void check(void (*print)(FILE *out, const uint64_t *list, size_t count), const uint64_t *list, size_t count)
{
    char wanted[4096] = "", *text = NULL;
    size_t size = 0, used = 0;
    FILE *out = open_memstream(&text, &size);

    print(out, list, count);
    fclose(out);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(wanted + used, sizeof(wanted) - used, "%s%" PRIu64, i ? ", " : "", list[i]);
    CU_ASSERT_STRING_EQUAL(text, wanted);
    free(text);
}

static void test_as_printf(void)
{
    check(print_each, values, VALUES);
}

/* Of every length, also with the largest numbers: longer than a piece of it. */
static void test_list(void)
{
    uint64_t largest[100];

    memset(largest, 0xff, sizeof(largest));
    for (size_t i = 0; i <= VALUES; i++)
        check(digits_print_list, values, i);
    for (size_t i = 0; i <= 100; i++)
        check(digits_print_list, largest, i);
}

int main(void)
{
    static const struct unit_test tests[] = {{"as printf", test_as_printf}, {"list", test_list}, {NULL, NULL}};
    return unit_main("digits", tests);
}
