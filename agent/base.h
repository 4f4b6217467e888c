// Types and texts that every part of the agent uses. No C runtime: nothing here allocates or locks.
#pragma once
#define WIN32_LEAN_AND_MEAN
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#include <windows.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef int i32;

enum { PAGE = 0x1000, GRANULE = 0x10000, NAME_ROOM = 128, FUNCTION_ROOM = 256, DETAIL_ROOM = 512 };

// A text under construction: always ended by a zero byte, cut off when its room is used up.
struct text {
    char *at;
    u32 room, used;
};

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *one, const void *other, size_t size);

struct text text_in(char *room, u32 size);
void put_char(struct text *text, char symbol);
void put(struct text *text, const char *words);
void put_number(struct text *text, u64 value);
void put_hex(struct text *text, u64 value);
void put_bytes(struct text *text, const u8 *bytes, u32 size);
void put_json(struct text *text, const char *words); // with quotation marks and escapes
void put_wide(struct text *text, const WCHAR *words); // UTF-16 as UTF-8
u32 text_length(const char *words);
int text_same(const char *one, const char *other);
int text_same_name(const char *one, const char *other); // letter case of ASCII does not matter
void text_copy(char *to, u32 room, const u8 *from, u32 size);
int utf8_valid(const u8 *bytes, u32 size);

// Why something was not done. `slug` is one of the names in hpbuild/codes/live.py.
struct failure {
    const char *slug;
    char module[NAME_ROOM], function[FUNCTION_ROOM], detail[DETAIL_ROOM];
    struct text text;
};

// Records a failure and answers where its detail is to be written.
struct text *fail(struct failure *failure, const char *slug, const char *module, const char *function);

u64 ticks(void);
u64 nanoseconds(u64 ticks);

static inline u64 page_of(u64 address) { return address & ~(u64)(PAGE - 1); }
static inline u64 round_up(u64 value, u64 unit) { return (value + unit - 1) & ~(unit - 1); }
