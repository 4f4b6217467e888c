#include "codec.h"

/* A byte program that works on one 32-bit value; the switch is a jump table. */

enum operation { STOP, ADD, SUBTRACT, EXCLUSIVE_OR, ROTATE, NEGATE, SWAP, CHECKSUM, CALL, TRACE };

API u32 codec_rotate(u32 value, u32 count);

IMPORTED void *__stdcall GetProcessHeap(void);
IMPORTED void *__stdcall HeapAlloc(void *heap, u32 flags, u64 size);
IMPORTED int __stdcall HeapFree(void *heap, u32 flags, void *memory);

API u32 codec_transform(const byte *program, u32 length, u32 value)
{
    for (u32 i = 0; i < length; i++) {
        switch (program[i]) {
        case STOP:
            return value;
        case ADD:
            value += program[++i];
            break;
        case SUBTRACT:
            value -= program[++i];
            break;
        case EXCLUSIVE_OR:
            value ^= program[++i] * 0x01010101u;
            break;
        case ROTATE:
            value = codec_rotate(value, program[++i]);
            break;
        case NEGATE:
            value = 0 - value;
            break;
        case SWAP:
            value = __builtin_bswap32(value);
            break;
        case CHECKSUM:
            value = crc32_of((const byte *)&value, 4, value);
            break;
        case CALL: /* the rest of the program, as often as the operand says */
            for (u32 times = program[++i]; times; times--)
                value = codec_transform(program + i + 1, length - i - 1, value);
            return value;
        case TRACE:
            trace("codec: transform");
            break;
        default:
            return 0;
        }
    }
    return value;
}

/* Recursion: the number of ways to split n bytes into runs. */
API u32 codec_partitions(u32 n, u32 largest)
{
    u32 ways = 0;
    if (n == 0)
        return 1;
    for (u32 part = largest < n ? largest : n; part; part--)
        ways += codec_partitions(n - part, part);
    return ways;
}

/* Encodes and decodes again in a heap buffer; returns 1 if that gives the input back. */
API int codec_roundtrip(const struct codec *codec, const byte *input, u32 length)
{
    u32 room = codec->bound(length), size = room + length;
    byte *buffer = HeapAlloc(GetProcessHeap(), 0, size);
    int same = 0, written;
    if (!buffer)
        return 0;
    written = codec->encode(input, length, buffer, room);
    if (written >= 0 && codec->decode(buffer, (u32)written, buffer + room, length) == (int)length)
        same = crc32_of(buffer + room, length, 0) == crc32_of(input, length, 0);
    HeapFree(GetProcessHeap(), 0, buffer);
    return same;
}
