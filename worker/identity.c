#include "worker/identity.h"
#include "worker/more.h"
#include <stdlib.h>

enum { FIRST_BUCKETS = 256 };

LIST_HEAD(bucket, session_more);

/* Numbers are counted, so that their low bits are as good as a hash. There is one worker in a process. */
static struct {
    struct bucket *buckets;
    uint64_t count_mask; /* number of buckets, a power of two, less one */
    uint64_t used, last;
} table;

/* Twice as many buckets; where there is no memory for them, lists get longer. */
static void grow(void)
{
    uint64_t count = table.buckets ? 2 * (table.count_mask + 1) : FIRST_BUCKETS;
    struct bucket *buckets = calloc(count, sizeof(*buckets));

    if (!buckets)
        return;
    for (uint64_t i = 0; table.buckets && i <= table.count_mask; i++)
        for (struct session_more *more; (more = LIST_FIRST(&table.buckets[i]));) {
            LIST_REMOVE(more, same_hash);
            LIST_INSERT_HEAD(&buckets[more->id & (count - 1)], more, same_hash);
        }
    free(table.buckets);
    table.buckets = buckets;
    table.count_mask = count - 1;
}

uint64_t session_id(struct session *session)
{
    struct session_more *more = more_of(session);

    if (!more || more->id)
        return more ? more->id : 0;
    if (!table.buckets || table.used > table.count_mask)
        grow();
    if (!table.buckets)
        return 0;
    more->id = ++table.last;
    table.used++;
    LIST_INSERT_HEAD(&table.buckets[more->id & table.count_mask], more, same_hash);
    return more->id;
}

struct session *session_find(uint64_t id)
{
    struct session_more *more;

    if (!table.buckets || id == 0)
        return NULL;
    LIST_FOREACH(more, &table.buckets[id & table.count_mask], same_hash)
        if (more->id == id)
            return more->session->client.phase == CONN_OPEN ? more->session : NULL;
    return NULL;
}

void identity_forget(struct session_more *more)
{
    if (!more->id)
        return;
    LIST_REMOVE(more, same_hash);
    table.used--;
}

void identity_fini(void)
{
    free(table.buckets);
    table.buckets = NULL;
    table.used = table.count_mask = 0;
}
