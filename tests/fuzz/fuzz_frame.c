/*
 * The bank's frames: whatever is accepted points into the bytes it came from, and is the same when it is encoded again;
 * a big-endian checksum has become a little-endian one.
 */
#include "proto/frame.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct frame frame;

    if (frame_decode(bytes, size, &frame) != FRAME_OK)
        return 0;
    if ((const uint8_t *)frame.name < bytes || frame.body + frame.body_size + 4 != bytes + size ||
        strlen(frame.name) != frame.name_size || frame_size(frame.name_size, frame.body_size) != size)
        abort();
    char *again = malloc(size);
    if (!again)
        return 0;
    uint8_t *body = frame_begin(again, frame.name, frame.name_size);
    if (frame.body_size > 0)
        memcpy(body, frame.body, frame.body_size);
    if (frame_end(again, frame.name_size, frame.body_size) != size || memcmp(again, bytes, size - 4) != 0)
        abort();
    const char *sum = again + size - 4, turned[4] = {sum[3], sum[2], sum[1], sum[0]};
    if (memcmp(sum, bytes + size - 4, 4) != 0 && memcmp(turned, bytes + size - 4, 4) != 0)
        abort();
    free(again);
    return 0;
}
