/*
 * Whole numbers in decimal digits, for documents that have thousands of them.
 */
#ifndef COMMON_DIGITS_H
#define COMMON_DIGITS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Print the digits: as "%" PRIu64 does, in a fraction of its time. */
void digits_print(FILE *out, uint64_t value);

/* The same of several, with ", " between them. */
void digits_print_list(FILE *out, const uint64_t *values, size_t count);

#endif
