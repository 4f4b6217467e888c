#include "codec.h"

/* The codecs by number: a table of tables of functions, writable so that a program may replace one. */

static const struct codec runlength = { "runlength", runlength_encode, runlength_decode, runlength_bound };
static const struct codec base64 = { "base64", base64_encode, base64_decode, base64_bound };
static const struct codec hex = { "hex", hex_encode, hex_decode, hex_bound };

static const struct codec *registered[] = { &runlength, &base64, &hex };
static u32 lookups = 0;

struct statistics totals = { 0, 0, 0 };
API const char *codec_default = "base64";

int same_text(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

API u32 codec_count(void)
{
    return sizeof registered / sizeof registered[0];
}

API const struct codec *codec_find(const char *name)
{
    lookups++;
    if (!name)
        name = codec_default;
    for (u32 i = 0; i < codec_count(); i++)
        if (same_text(registered[i]->name, name))
            return registered[i];
    return 0;
}

NOINLINE static void count(int outcome)
{
    totals.calls++;
    if (outcome < 0)
        totals.failures++;
    else
        totals.bytes += (u32)outcome;
}

API int codec_encode(const char *name, const byte *input, u32 length, byte *output, u32 room)
{
    const struct codec *codec = codec_find(name);
    int outcome = codec ? codec->encode(input, length, output, room) : CODEC_UNKNOWN;
    count(outcome);
    return outcome;
}

API int codec_decode(const char *name, const byte *input, u32 length, byte *output, u32 room)
{
    const struct codec *codec = codec_find(name);
    int outcome = codec ? codec->decode(input, length, output, room) : CODEC_UNKNOWN;
    count(outcome);
    return outcome;
}

API u32 codec_lookups(void)
{
    return lookups;
}
