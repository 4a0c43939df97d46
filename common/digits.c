#include "common/digits.h"

enum { DIGITS_MAX = 20 /* of 2^64 - 1 */, LIST_SIZE = 512 };

/* Write the digits so that they end before `end`. Returns where they begin. */
static char *write_digits(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return end;
}

void digits_print(FILE *out, uint64_t value)
{
    char text[DIGITS_MAX], *end = text + sizeof(text);
    const char *begin = write_digits(end, value);

    fwrite(begin, 1, (size_t)(end - begin), out);
}

/* From the end to the begin, a piece of the list at a time: a call of stdio costs more than a number. */
static void print_piece(FILE *out, const uint64_t *values, size_t count)
{
    char text[LIST_SIZE], *end = text + sizeof(text), *begin = end;

    while (count-- > 0) {
        begin = write_digits(begin, values[count]);
        if (count > 0) {
            *--begin = ' ';
            *--begin = ',';
        }
    }
    fwrite(begin, 1, (size_t)(end - begin), out);
}

void digits_print_list(FILE *out, const uint64_t *values, size_t count)
{
    enum { PIECE = LIST_SIZE / (DIGITS_MAX + 2) };

    for (size_t done = 0; done < count; done += PIECE) {
        if (done > 0)
            fputs(", ", out);
        print_piece(out, values + done, count - done < PIECE ? count - done : PIECE);
    }
}
