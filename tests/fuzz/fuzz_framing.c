/*
 * Cutting a stream: the same messages come out wherever the stream is cut in two on its way. The first byte chooses the
 * kind of framing, the second the maximum, the third the place of the cut.
 */
#include "worker/framing.h"
#include <stdlib.h>
#include <string.h>

enum { MESSAGES_MAX = 4096 };

struct messages {
    size_t sizes[MESSAGES_MAX];
    unsigned count;
    bool broken;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* All messages of the first `size` bytes, from `begin` on; returns where the unfinished one begins. */
static size_t cut_all(const struct framing *framing, const char *bytes, size_t begin, size_t size, size_t scanned,
                      size_t max, struct messages *messages)
{
    while (begin < size && !messages->broken && messages->count < MESSAGES_MAX) {
        struct cut cut = framing_cut(framing, bytes + begin, size - begin, scanned, max, &(struct scan){.at = 0});
        scanned = 0;
        if (cut.total == 0)
            break;
        messages->broken = cut.total < 0;
        if (messages->broken)
            break;
        if ((size_t)cut.total > size - begin || cut.size > (size_t)cut.total || cut.size > max)
            abort();
        messages->sizes[messages->count++] = cut.size;
        begin += (size_t)cut.total;
    }
    return begin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct messages whole, pieces;

    if (size < 4)
        return 0;
    const struct framing framing = {.kind = data[0] & 1 ? FRAMING_LINE : FRAMING_LENGTH32};
    size_t max = 4 + data[1];
    size_t place = data[2] % (size - 3);
    const char *bytes = (const char *)data + 3;

    whole = pieces = (struct messages){0};
    cut_all(&framing, bytes, 0, size - 3, 0, max, &whole);
    size_t kept = cut_all(&framing, bytes, 0, place, 0, max, &pieces);
    if (!pieces.broken && kept < place) {
        size_t missing = framing_missing(&framing, bytes + kept, place - kept, bytes + place, size - 3 - place);
        if (size - 3 > place && (missing == 0 || missing > size - 3 - place))
            abort();
    }
    cut_all(&framing, bytes, kept, size - 3, place - kept, max, &pieces);
    if (whole.count != pieces.count || whole.broken != pieces.broken ||
        memcmp(whole.sizes, pieces.sizes, whole.count * sizeof(whole.sizes[0])) != 0)
        abort();
    return 0;
}
