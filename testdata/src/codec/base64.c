#include "codec.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits[] = "0123456789abcdef";

NOINLINE static int symbol_value(byte symbol)
{
    for (int i = 0; i < 64; i++)
        if ((byte)alphabet[i] == symbol)
            return i;
    return -1;
}

u32 base64_bound(u32 length)
{
    return (length + 2) / 3 * 4;
}

int base64_encode(const byte *input, u32 length, byte *output, u32 room)
{
    u32 written = 0;
    if (room < base64_bound(length))
        return CODEC_NO_SPACE;
    for (u32 i = 0; i < length; i += 3) {
        u32 left = length - i;
        u32 group = (u32)input[i] << 16;
        if (left > 1)
            group |= (u32)input[i + 1] << 8;
        if (left > 2)
            group |= input[i + 2];
        output[written++] = (byte)alphabet[group >> 18];
        output[written++] = (byte)alphabet[group >> 12 & 63];
        output[written++] = left > 1 ? (byte)alphabet[group >> 6 & 63] : '=';
        output[written++] = left > 2 ? (byte)alphabet[group & 63] : '=';
    }
    return (int)written;
}

int base64_decode(const byte *input, u32 length, byte *output, u32 room)
{
    u32 written = 0, group = 0, symbols = 0;
    for (u32 i = 0; i < length && input[i] != '='; i++) {
        int value = symbol_value(input[i]);
        if (value < 0) {
            trace("codec: symbol outside of the base64 alphabet");
            return CODEC_BAD_SYMBOL;
        }
        group = group << 6 | (u32)value;
        if (++symbols % 4 == 0) {
            if (written + 3 > room)
                return CODEC_NO_SPACE;
            output[written++] = (byte)(group >> 16);
            output[written++] = (byte)(group >> 8);
            output[written++] = (byte)group;
            group = 0;
        }
    }
    if (symbols % 4 == 2)
        output[written++] = (byte)(group >> 4);
    if (symbols % 4 == 3) {
        output[written++] = (byte)(group >> 10);
        output[written++] = (byte)(group >> 2);
    }
    return (int)written;
}

u32 hex_bound(u32 length)
{
    return 2 * length;
}

int hex_encode(const byte *input, u32 length, byte *output, u32 room)
{
    if (room / 2 < length)
        return CODEC_NO_SPACE;
    for (u32 i = 0; i < length; i++) {
        output[2 * i] = (byte)digits[input[i] >> 4];
        output[2 * i + 1] = (byte)digits[input[i] & 15];
    }
    return (int)(2 * length);
}

NOINLINE static int digit_value(byte symbol)
{
    for (int i = 0; i < 16; i++)
        if ((byte)digits[i] == symbol)
            return i;
    return -1;
}

int hex_decode(const byte *input, u32 length, byte *output, u32 room)
{
    if (length / 2 > room)
        return CODEC_NO_SPACE;
    for (u32 i = 0; i + 1 < length; i += 2) {
        int high = digit_value(input[i]), low = digit_value(input[i + 1]);
        if ((high | low) < 0)
            return CODEC_BAD_SYMBOL;
        output[i / 2] = (byte)(high << 4 | low);
    }
    return (int)(length / 2);
}
