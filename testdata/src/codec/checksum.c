#include "codec.h"

/* CRC-32 (reflected polynomial EDB88320), one entry for each nibble. */
static const u32 crc_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

u32 crc32_of(const byte *input, u32 length, u32 seed)
{
    u32 value = ~seed;
    for (u32 i = 0; i < length; i++) {
        value ^= input[i];
        value = value >> 4 ^ crc_table[value & 15];
        value = value >> 4 ^ crc_table[value & 15];
    }
    return ~value;
}

u32 adler32_of(const byte *input, u32 length)
{
    u32 low = 1, high = 0;
    for (u32 i = 0; i < length; i++) {
        low = (low + input[i]) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}

/* Leaf: it neither calls nor needs a frame. */
API u32 codec_rotate(u32 value, u32 count)
{
    count &= 31;
    return count ? value << count | value >> (32 - count) : value;
}

API u32 codec_checksum(const byte *input, u32 length, int kind)
{
    if (kind == 0)
        return crc32_of(input, length, 0);
    if (kind == 1)
        return adler32_of(input, length);
    trace("codec: unknown checksum, using CRC-32");
    return crc32_of(input, length, 0);
}
