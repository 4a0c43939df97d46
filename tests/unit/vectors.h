/*
 * Files of tests/vectors whose columns are bytes written as in C: \r, \n, \t, \\ and \xHH.
 */
#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

#include "tests/unit/unit.h"

enum { VECTOR_COLUMNS = 3, VECTOR_SIZE = 512 };

struct vector {
    char bytes[VECTOR_COLUMNS][VECTOR_SIZE];
    size_t sizes[VECTOR_COLUMNS]; /* of columns that the line does not have: 0 */
};

static inline char vector_byte(const char **text)
{
    const char *at = *text;
    unsigned value;

    *text += at[0] != '\\' ? 1 : at[1] == 'x' ? 4 : 2;
    if (at[0] != '\\')
        return at[0];
    if (at[1] == 'x' && sscanf(at + 2, "%2x", &value) == 1)
        return (char)value;
    return at[1] == 'r' ? '\r' : at[1] == 'n' ? '\n' : at[1] == 't' ? '\t' : at[1];
}

static inline void vector_read(const char *text, struct vector *vector)
{
    *vector = (struct vector){.sizes = {0}};
    for (unsigned column = 0; column < VECTOR_COLUMNS; column++) {
        while (*text && *text != '\t' && *text != '\n' && vector->sizes[column] < VECTOR_SIZE)
            vector->bytes[column][vector->sizes[column]++] = vector_byte(&text);
        if (*text != '\t')
            break;
        text++;
    }
}

/* Call `check` for each line that is no comment. Returns how many there were. */
static inline unsigned vectors_each(const char *path, void (*check)(const struct vector *vector))
{
    char text[VECTOR_COLUMNS * 4 * VECTOR_SIZE];
    struct vector vector;
    unsigned count = 0;
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(text, sizeof(text), file)) {
        if (text[0] == '#')
            continue;
        vector_read(text, &vector);
        check(&vector);
        count++;
    }
    fclose(file);
    return count;
}

#endif
