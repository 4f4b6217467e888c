/* A small library of byte codecs. It needs no C runtime: only kernel32. */
#ifndef CODEC_H
#define CODEC_H

typedef unsigned char byte;
typedef unsigned int u32;
typedef unsigned long long u64;

#define API __declspec(dllexport)
#define IMPORTED __declspec(dllimport)
#define NOINLINE __attribute__((noinline))

enum { CODEC_OK = 0, CODEC_TRUNCATED = -1, CODEC_NO_SPACE = -2, CODEC_BAD_SYMBOL = -3, CODEC_UNKNOWN = -4 };

/* One codec. Encoders and decoders return the number of bytes written or a negative CODEC_ status. */
struct codec {
    const char *name;
    int (*encode)(const byte *input, u32 length, byte *output, u32 room);
    int (*decode)(const byte *input, u32 length, byte *output, u32 room);
    u32 (*bound)(u32 length);
};

/* How often each codec ran and how it ended. */
struct statistics {
    u32 calls;
    u32 failures;
    u64 bytes;
};

extern struct statistics totals;

u32 crc32_of(const byte *input, u32 length, u32 seed);
u32 adler32_of(const byte *input, u32 length);

int runlength_encode(const byte *input, u32 length, byte *output, u32 room);
int runlength_decode(const byte *input, u32 length, byte *output, u32 room);
u32 runlength_bound(u32 length);

int base64_encode(const byte *input, u32 length, byte *output, u32 room);
int base64_decode(const byte *input, u32 length, byte *output, u32 room);
u32 base64_bound(u32 length);

int hex_encode(const byte *input, u32 length, byte *output, u32 room);
int hex_decode(const byte *input, u32 length, byte *output, u32 room);
u32 hex_bound(u32 length);

void trace(const char *text);
int same_text(const char *left, const char *right);

#endif
