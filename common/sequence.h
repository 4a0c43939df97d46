/*
 * A record in shared memory that one process writes and any process reads: its sequence number is odd while it is being
 * written. The writer never waits for a reader.
 */
#ifndef COMMON_SEQUENCE_H
#define COMMON_SEQUENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SEQUENCE_SPINS = 100, SEQUENCE_TRIES = 1000 };

/* For the writer, around its changes. One that has died in between leaves an odd number; the next one puts it right. */
void sequence_begin(_Atomic uint32_t *sequence);
void sequence_end(_Atomic uint32_t *sequence);

/*
 * Copy `from` to `to` with copy(), again until it has not been written meanwhile, at most `tries` times; from
 * SEQUENCE_SPINS on after a millisecond's sleep. False when that was not enough, or it has never been written.
 */
bool sequence_read(const _Atomic uint32_t *sequence, unsigned tries, void (*copy)(void *to, const void *from), void *to,
                   const void *from);

#endif
