/*
 * Questions that have been asked and not answered, in their order: a ring that grows.
 */
#ifndef WORKER_QUESTION_H
#define WORKER_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct question {
    struct reply *reply; /* whose answer it will be; NULL: nobody's */
    uint64_t asked_ns;   /* when the turn began that has asked it */
    uint32_t size;       /* bytes */
    uint16_t error;      /* why it is lost */
    bool holds : 1;      /* its session is held until there is room, or it is answered */
    bool greeting : 1;   /* asked when the connection was made */
    bool lost : 1;       /* to be reported as such */
    bool sent : 1;       /* at least its first byte; known when it is lost */
};

struct question_queue {
    struct question *array; /* NULL: there has been none for a while */
    unsigned begin, count;
    unsigned capacity; /* a power of two */
    uint64_t bytes;    /* of all of them */
};

/* Append one. -1 with ENOMEM. */
int question_push(struct question_queue *queue, const struct question *question);

/* Take out the first or the last one of at least one. */
struct question question_pop(struct question_queue *queue);
struct question question_pop_last(struct question_queue *queue);

/* The last one goes to the front of the one that is the n-th now, counted from 0. */
void question_move_last(struct question_queue *queue, unsigned n);

/* How many of the last ones are not longer than `size` bytes together; `bytes` is how long they are. */
unsigned question_count_within(const struct question_queue *queue, size_t size, size_t *bytes);

/* The n-th, counted from 0. */
static inline struct question *question_at(const struct question_queue *queue, unsigned n)
{
    return &queue->array[(queue->begin + n) & (queue->capacity - 1)];
}

/* Give the memory back; it is empty. */
void question_free(struct question_queue *queue);

#endif
