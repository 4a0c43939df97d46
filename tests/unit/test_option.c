/*
 * Keys as rows: every type, its spelling and its limits, and printing as the inverse of reading.
 */
#include "common/option.h"
#include "common/sock.h"
#include "tests/unit/unit.h"
#include <string.h>

struct values {
    uint32_t flag, number, size, time, word, plain_time, short_time, mode, count;
    char text[OPTION_STRING_SIZE];
    struct sock_address address;
};

#define AT(member) offsetof(struct values, member)

static const struct option_row table[] = {
    {"flag", OPTION_BOOL, AT(flag), 0, 0, NULL, NULL, "on", "a switch"},
    {"number", OPTION_INT, AT(number), 1, 1024, "auto", NULL, "auto", "a number"},
    {"size", OPTION_SIZE, AT(size), 16, 1u << 30, NULL, NULL, "64k", "a size"},
    {"time", OPTION_TIME, AT(time), 10, 24 * 3600 * 1000, "off", NULL, "1500ms", "a time"},
    {"plain_time", OPTION_TIME, AT(plain_time), 0, UINT32_MAX, NULL, NULL, "0", "a time that may be 0"},
    {"word", OPTION_ENUM, AT(word), 0, 0, NULL, "red|green|greenish", "green", "a word"},
    {"text", OPTION_STRING, AT(text), 0, 0, NULL, NULL, NULL, "a text"},
    {"short_time", OPTION_TIME_US, AT(short_time), 1, 10 * 1000 * 1000, "off", NULL, "1500us", "a short time"},
    {"address", OPTION_ADDRESS, AT(address), 0, 0, NULL, NULL, "127.0.0.1:6379", "an address"},
    {"mode", OPTION_MODE, AT(mode), 02, 0777, "umask", NULL, "umask", "permissions"},
    {"count", OPTION_INT, AT(count), 0, UINT32_MAX, "none", NULL, "3", "a number that may be 0"},
    {0},
};

/* What `name = text` is printed as; "" when it was refused, and then nothing may have changed. */
static const char *again(const char *name, const char *text)
{
    static char printed[OPTION_STRING_SIZE];
    struct values values, before;
    char why[256] = "";

    memset(&values, 0x55, sizeof(values));
    before = values;
    const struct option_row *row = option_find(table, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(row);
    if (option_set(row, text, &values, why, sizeof(why)) < 0) {
        CU_ASSERT_NOT_EQUAL(why[0], '\0');
        CU_ASSERT_EQUAL(memcmp(&values, &before, sizeof(values)), 0);
        return "";
    }
    CU_ASSERT_EQUAL(why[0], '\0');
    option_format(row, &values, printed, sizeof(printed));
    return printed;
}

struct example {
    const char *name, *text, *printed; /* "": refused */
};

static const struct example examples[] = {
    {"flag", "on", "on"},
    {"flag", "off", "off"},
    {"flag", "yes", ""},
    {"flag", "", ""},
    {"number", "1", "1"},
    {"number", "1024", "1024"},
    {"number", "0007", "7"},
    {"number", "auto", "auto"},
    {"number", "0", ""},
    {"number", "1025", ""},
    {"number", "4294967297", ""},
    {"number", "18446744073709551617", ""},
    {"number", "99999999999999999999999999", ""},
    {"number", "-1", ""},
    {"number", "+1", ""},
    {"number", "1.5", ""},
    {"number", "0x10", ""},
    {"number", "12 ", ""},
    {"number", " 12", ""},
    {"number", "1k", ""},
    {"number", "off", ""},
    {"number", "", ""},
    {"size", "16", "16"},
    {"size", "1024", "1k"},
    {"size", "1025", "1025"},
    {"size", "2048k", "2m"},
    {"size", "1g", "1g"},
    {"size", "15", ""},
    {"size", "2g", ""},
    {"size", "4194304k", ""},
    {"size", "4294967296g", ""},
    {"size", "17179869185g", ""}, /* 2^64 + 1g */
    {"size", "64kb", ""},
    {"size", "64K", ""},
    {"size", "k", ""},
    {"time", "10ms", "10ms"},
    {"time", "9ms", ""},
    {"time", "1000ms", "1s"},
    {"time", "120s", "2m"},
    {"time", "90m", "90m"},
    {"time", "24h", "24h"},
    {"time", "25h", ""},
    {"time", "1194h", ""},
    {"time", "10", ""},
    {"time", "0", ""},
    {"time", "off", "off"},
    {"time", "5 s", ""},
    {"time", "5d", ""},
    {"plain_time", "0", "0ms"},
    {"plain_time", "0s", "0ms"},
    {"plain_time", "4294967295ms", "4294967295ms"},
    {"plain_time", "4294967296ms", ""},
    {"short_time", "1us", "1us"},
    {"short_time", "999us", "999us"},
    {"short_time", "1000us", "1ms"},
    {"short_time", "1ms", "1ms"},
    {"short_time", "10s", "10s"},
    {"short_time", "10000000us", "10s"},
    {"short_time", "10000001us", ""},
    {"short_time", "11s", ""},
    {"short_time", "4295s", ""}, /* more than 32 bits */
    {"short_time", "0us", ""},
    {"short_time", "0", ""},
    {"short_time", "50", ""},
    {"short_time", "1m", ""},
    {"short_time", "1h", ""},
    {"short_time", "off", "off"},
    {"time", "100us", ""},
    {"word", "red", "red"},
    {"word", "greenish", "greenish"},
    {"word", "gree", ""},
    {"word", "red|green", ""},
    {"word", "", ""},
    {"text", "", ""},
    {"text", "a b;c", "a b;c"},
    {"address", "127.0.0.1:80", "127.0.0.1:80"},
    {"address", "[::1]:80", "[::1]:80"},
    {"address", "unix:/run/x", "unix:/run/x"},
    {"address", "127.0.0.1", ""},
    {"address", "127.0.0.1:0", ""}, /* nobody can connect there */
    {"address", "localhost:0", ""},
    {"address", "127.0.0.1:1", "127.0.0.1:1"},
    {"mode", "0660", "0660"},
    {"mode", "660", "0660"},
    {"mode", "000660", "0660"},
    {"mode", "0000660", ""},
    {"mode", "7", "0007"},
    {"mode", "2", "0002"},
    {"mode", "1", ""},
    {"mode", "0", ""},
    {"mode", "777", "0777"},
    {"mode", "1000", ""},
    {"mode", "umask", "umask"},
    {"mode", "668", ""},
    {"mode", "66 ", ""},
    {"mode", " 66", ""},
    {"mode", "rw", ""},
    {"mode", "", ""},
    {"count", "0", "none"},
    {"count", "none", "none"},
    {"count", "4294967295", "4294967295"},
    {"count", "4294967296", ""},
    {"count", "42949672950", ""}, /* and one digit more */
    {"count", "42949672960", ""},
};

static void test_examples(void)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];
        const char *printed;
        if (strcmp(example->name, "text") == 0 && *example->text == '\0')
            continue; /* accepted, and printed as nothing: see test_text */
        printed = again(example->name, example->text);
        if (strcmp(printed, example->printed) != 0)
            printf("\n    %s = %s became '%s', not '%s'", example->name, example->text, printed, example->printed);
        CU_ASSERT_STRING_EQUAL(printed, example->printed);
        if (*printed) { /* what was printed is read as the same */
            char copy[OPTION_STRING_SIZE];
            snprintf(copy, sizeof(copy), "%s", printed);
            CU_ASSERT_STRING_EQUAL(again(example->name, copy), copy);
        }
    }
}

static void test_text(void)
{
    struct values values = {.text = "before"};
    const struct option_row *row = option_find(table, "text");
    char why[64], longest[OPTION_STRING_SIZE + 1];

    CU_ASSERT_EQUAL(option_set(row, "", &values, why, sizeof(why)), 0);
    CU_ASSERT_STRING_EQUAL(values.text, "");
    memset(longest, 'x', sizeof(longest));
    longest[OPTION_STRING_SIZE] = '\0';
    CU_ASSERT_EQUAL(option_set(row, longest, &values, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "must be at most 255 characters");
    CU_ASSERT_STRING_EQUAL(values.text, "");
    CU_ASSERT_EQUAL(option_set(row, longest + 1, &values, why, sizeof(why)), 0);
    CU_ASSERT_STRING_EQUAL(values.text, longest + 1);
}

static const char *why_not(const char *name, const char *text, size_t why_size)
{
    static char why[256];
    struct values values;

    memset(why, '#', sizeof(why) - 1);
    CU_ASSERT_EQUAL(option_set(option_find(table, name), text, &values, why, why_size), -1);
    return why;
}

static void test_sentences(void)
{
    CU_ASSERT_STRING_EQUAL(why_not("number", "0", 256), "must be 1 to 1024 or auto");
    CU_ASSERT_STRING_EQUAL(why_not("size", "1", 256), "must be 16 to 1g");
    CU_ASSERT_STRING_EQUAL(why_not("time", "1ms", 256), "must be 10ms to 24h or off");
    CU_ASSERT_STRING_EQUAL(why_not("number", "3x", 256), "must be a number without a unit, or auto");
    CU_ASSERT_STRING_EQUAL(why_not("short_time", "11s", 256), "must be 1us to 10s or off");
    CU_ASSERT_STRING_EQUAL(why_not("short_time", "1m", 256), "must be a time with a unit: us, ms or s, or off");
    CU_ASSERT_STRING_EQUAL(why_not("flag", "yes", 256), "must be one of off|on");
    CU_ASSERT_STRING_EQUAL(why_not("word", "blue", 256), "must be one of red|green|greenish");
    CU_ASSERT_STRING_EQUAL(why_not("word", "blue", 8), "must be");
    CU_ASSERT_STRING_EQUAL(why_not("time", "1", 5), "must");
    CU_ASSERT_STRING_EQUAL(why_not("address", "x", 3), "an");
    CU_ASSERT_STRING_EQUAL(why_not("address", "127.0.0.1:0", 256), "the port must be 1 to 65535");
    CU_ASSERT_STRING_EQUAL(why_not("number", "-1", 256), "must be 1 to 1024 or auto");
    CU_ASSERT_STRING_EQUAL(why_not("number", "", 256), "must be a number without a unit, or auto");
    CU_ASSERT_STRING_EQUAL(why_not("number", "4294967296", 256), "must be 1 to 1024 or auto");
    CU_ASSERT_STRING_EQUAL(why_not("size", "x", 256), "must be a number of bytes, with a unit of k, m or g, or none");
    CU_ASSERT_STRING_EQUAL(why_not("size", "4294967296k", 256), "must be 16 to 1g");
    CU_ASSERT_STRING_EQUAL(why_not("time", "1", 256), "must be a time with a unit: ms, s, m or h, or off");
    CU_ASSERT_STRING_EQUAL(why_not("plain_time", "1", 256), "must be a time with a unit: ms, s, m or h");
    CU_ASSERT_STRING_EQUAL(why_not("plain_time", "1194h", 256), "must be 0ms to 4294967295ms");
    CU_ASSERT_STRING_EQUAL(why_not("count", "4294967296", 256), "must be 0 to 4294967295 or none");
    CU_ASSERT_STRING_EQUAL(why_not("mode", "8", 256), "must be 0002 to 0777 or umask");
}

static void test_sizes(void)
{
    CU_ASSERT_EQUAL(option_value_size(OPTION_STRING), sizeof(((struct values *)0)->text));
    CU_ASSERT_EQUAL(option_value_size(OPTION_ADDRESS), sizeof(((struct values *)0)->address));
    for (enum option_type type = OPTION_BOOL; type <= OPTION_ENUM; type++)
        CU_ASSERT_EQUAL(option_value_size(type), sizeof(uint32_t));
}

static void test_find(void)
{
    CU_ASSERT_PTR_EQUAL(option_find(table, "flag"), &table[0]);
    CU_ASSERT_PTR_EQUAL(option_find(table, "address"), &table[8]);
    CU_ASSERT_PTR_NULL(option_find(table, "fla"));
    CU_ASSERT_PTR_NULL(option_find(table, ""));
    CU_ASSERT_PTR_NULL(option_find(NULL, "flag"));
}

static void test_defaults_are_printed(void)
{
    struct values values = {0};
    char printed[1024] = "";
    FILE *out = fmemopen(printed, sizeof(printed), "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    char why[256];

    CU_ASSERT_EQUAL(option_defaults(table, &values, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(option_defaults(NULL, &values, why, sizeof(why)), 0);
    option_print(out, table, &values);
    option_print(out, NULL, &values);
    fclose(out);
    CU_ASSERT_STRING_EQUAL(printed, "flag = on\nnumber = auto\nsize = 64k\ntime = 1500ms\nplain_time = 0ms\n"
                                    "word = green\ntext =\nshort_time = 1500us\naddress = 127.0.0.1:6379\n"
                                    "mode = umask\ncount = 3\n");
    CU_ASSERT_EQUAL(values.time, 1500);
    CU_ASSERT_EQUAL(values.word, 1);
}

/* It can be one whose name does not resolve just now, or that no memory is left for. */
static void test_a_bad_default_is_named(void)
{
    static const struct option_row broken[] = {{"n", OPTION_INT, 0, 1, 2, NULL, NULL, "3", "out of range"}, {0}};
    struct values values;
    char why[256] = "";

    CU_ASSERT_EQUAL(option_defaults(broken, &values, why, sizeof(why)), -1);
    CU_ASSERT_STRING_EQUAL(why, "the default of n: must be 1 to 2");
}

static void test_fail(void)
{
    struct option_error error = {0};

    CU_ASSERT_EQUAL(option_fail(&error, "key", "must be %d", 7), -1);
    CU_ASSERT_STRING_EQUAL(error.key, "key");
    CU_ASSERT_STRING_EQUAL(error.why, "must be 7");
    CU_ASSERT_EQUAL(option_fail(&error, NULL, "%0999d", 1), -1);
    CU_ASSERT_PTR_NULL(error.key);
    CU_ASSERT_EQUAL(strlen(error.why), sizeof(error.why) - 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"examples", test_examples},
        {"text", test_text},
        {"sentences", test_sentences},
        {"sizes", test_sizes},
        {"find", test_find},
        {"defaults are printed", test_defaults_are_printed},
        {"a bad default is named", test_a_bad_default_is_named},
        {"fail", test_fail},
        {0},
    };
    return unit_main("option", tests);
}
