#include "codec.h"

/* Pairs of (count, value); a count of 0 does not occur. */

static u32 longest_run;

NOINLINE static u32 run_at(const byte *input, u32 length, u32 position)
{
    u32 run = 1;
    while (run < 255 && position + run < length && input[position + run] == input[position])
        run++;
    if (run > longest_run)
        longest_run = run;
    return run;
}

u32 runlength_bound(u32 length)
{
    return 2 * length;
}

int runlength_encode(const byte *input, u32 length, byte *output, u32 room)
{
    u32 written = 0;
    for (u32 position = 0; position < length;) {
        u32 run = run_at(input, length, position);
        if (room - written < 2)
            return CODEC_NO_SPACE;
        output[written++] = (byte)run;
        output[written++] = input[position];
        position += run;
    }
    return (int)written;
}

int runlength_decode(const byte *input, u32 length, byte *output, u32 room)
{
    u32 written = 0;
    for (u32 position = 0; position + 1 < length; position += 2) {
        u32 run = input[position];
        byte value = input[position + 1];
        if (written >= room)
            return CODEC_NO_SPACE;
        while (run--)
            output[written++] = value;
    }
    return (int)written;
}

API u32 codec_longest_run(void)
{
    return longest_run;
}
