#include "proto/resp_slot.h"
#include <stdint.h>
#include <string.h>

/* CRC-16/XMODEM, polynomial 0x1021, as Redis Cluster specifies. The entry of a byte is the sum of those of its bits. */
#define BIT(byte, bit, entry) ((byte) >> (bit)&1 ? (entry) : 0)
#define ENTRY(byte)                                                                                                    \
    (BIT(byte, 0, 0x1021) ^ BIT(byte, 1, 0x2042) ^ BIT(byte, 2, 0x4084) ^ BIT(byte, 3, 0x8108) ^                       \
     BIT(byte, 4, 0x1231) ^ BIT(byte, 5, 0x2462) ^ BIT(byte, 6, 0x48c4) ^ BIT(byte, 7, 0x9188))
#define ENTRIES_4(byte) ENTRY(byte), ENTRY((byte) + 1), ENTRY((byte) + 2), ENTRY((byte) + 3)
#define ENTRIES_16(byte) ENTRIES_4(byte), ENTRIES_4((byte) + 4), ENTRIES_4((byte) + 8), ENTRIES_4((byte) + 12)
#define ENTRIES_64(byte) ENTRIES_16(byte), ENTRIES_16((byte) + 16), ENTRIES_16((byte) + 32), ENTRIES_16((byte) + 48)

static const uint16_t crc16_table[256] = {ENTRIES_64(0), ENTRIES_64(64), ENTRIES_64(128), ENTRIES_64(192)};

static unsigned crc16(const char *bytes, size_t size)
{
    unsigned crc = 0;

    for (size_t i = 0; i < size; i++)
        crc = (crc << 8 & 0xffff) ^ crc16_table[crc >> 8 ^ (uint8_t)bytes[i]];
    return crc;
}

unsigned resp_slot(const char *key, size_t size)
{
    const char *open = memchr(key, '{', size);
    const char *close = open ? memchr(open, '}', size - (size_t)(open - key)) : NULL;

    if (close && close > open + 1) {
        key = open + 1;
        size = (size_t)(close - key);
    }
    return crc16(key, size) % RESP_SLOTS;
}
