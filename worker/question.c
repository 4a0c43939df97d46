#include "worker/question.h"
#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 16, CAPACITY_MAX = 1 << 30 };

static int grow(struct question_queue *queue)
{
    unsigned capacity = queue->capacity ? 2 * queue->capacity : FIRST_CAPACITY;
    struct question *array = capacity <= CAPACITY_MAX ? malloc(capacity * sizeof(*array)) : NULL;

    if (!array) {
        errno = ENOMEM;
        return -1;
    }
    for (unsigned i = 0; i < queue->count; i++)
        array[i] = *question_at(queue, i);
    free(queue->array);
    queue->array = array;
    queue->capacity = capacity;
    queue->begin = 0;
    return 0;
}

int question_push(struct question_queue *queue, const struct question *question)
{
    if (queue->count == queue->capacity && grow(queue) < 0)
        return -1;
    *question_at(queue, queue->count++) = *question;
    queue->bytes += question->size;
    return 0;
}

struct question question_pop(struct question_queue *queue)
{
    struct question first = *question_at(queue, 0);

    queue->begin = (queue->begin + 1) & (queue->capacity - 1);
    queue->count--;
    queue->bytes -= first.size;
    return first;
}

struct question question_pop_last(struct question_queue *queue)
{
    struct question last = *question_at(queue, --queue->count);

    queue->bytes -= last.size;
    return last;
}

void question_move_last(struct question_queue *queue, unsigned n)
{
    struct question last = *question_at(queue, queue->count - 1);

    for (unsigned i = queue->count - 1; i > n; i--)
        *question_at(queue, i) = *question_at(queue, i - 1);
    *question_at(queue, n) = last;
}

unsigned question_count_within(const struct question_queue *queue, size_t size, size_t *bytes)
{
    unsigned count = 0;

    for (*bytes = 0; count < queue->count; count++) {
        uint32_t next = question_at(queue, queue->count - 1 - count)->size;
        if (*bytes + next > size)
            break;
        *bytes += next;
    }
    return count;
}

void question_free(struct question_queue *queue)
{
    free(queue->array);
    *queue = (struct question_queue){.array = NULL};
}
