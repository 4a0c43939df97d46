#include "common/sequence.h"
#include <unistd.h>

void sequence_begin(_Atomic uint32_t *sequence)
{
    atomic_store(sequence, atomic_load(sequence) | 1);
    atomic_thread_fence(memory_order_release);
}

void sequence_end(_Atomic uint32_t *sequence)
{
    atomic_store(sequence, atomic_load(sequence) + 1);
}

bool sequence_read(const _Atomic uint32_t *sequence, unsigned tries, void (*copy)(void *to, const void *from), void *to,
                   const void *from)
{
    for (unsigned i = 0; i < tries; i++) {
        if (i > SEQUENCE_SPINS) /* the writer has lost its CPU in the middle */
            usleep(1000);
        uint32_t before = atomic_load(sequence);
        if (before % 2 != 0)
            continue;
        if (before == 0)
            return false;
        copy(to, from);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(sequence) == before)
            return true;
    }
    return false;
}
