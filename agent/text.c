// Texts, bytes and time without a C runtime.
#include "base.h"

// Compilers call these three for plain assignments. Volatile keeps them from being turned into calls of themselves.
void *memcpy(void *to, const void *from, size_t size)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}

void *memset(void *to, int value, size_t size)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return start;
}

int memcmp(const void *one, const void *other, size_t size)
{
    const volatile u8 *a = one, *b = other;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

struct text text_in(char *room, u32 size)
{
    struct text text = {room, size, 0};
    room[0] = 0;
    return text;
}

void put_char(struct text *text, char symbol)
{
    if (text->used + 1 < text->room) {
        text->at[text->used++] = symbol;
        text->at[text->used] = 0;
    }
}

void put(struct text *text, const char *words)
{
    while (*words)
        put_char(text, *words++);
}

void put_number(struct text *text, u64 value)
{
    char digits[20];
    int used = 0;
    do
        digits[used++] = (char)('0' + value % 10);
    while (value /= 10);
    while (used)
        put_char(text, digits[--used]);
}

static void put_digits(struct text *text, u64 value, int count)
{
    while (count--)
        put_char(text, "0123456789abcdef"[value >> (4 * count) & 15]);
}

void put_hex(struct text *text, u64 value)
{
    int count = 1;
    while (count < 16 && value >> (4 * count))
        count++;
    put(text, "0x");
    put_digits(text, value, count);
}

void put_bytes(struct text *text, const u8 *bytes, u32 size)
{
    for (u32 i = 0; i < size; i++)
        put_digits(text, bytes[i], 2);
}

// Whether `bytes` is UTF-8 as RFC 3629 has it: no overlong form, no surrogate, no zero byte.
int utf8_valid(const u8 *bytes, u32 size)
{
    for (u32 i = 0; i < size;) {
        u8 first = bytes[i];
        u32 more = first < 0x80 ? 0 : first < 0xC2 ? 9 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 9;
        if (!first || more > 3 || more >= size - i)
            return 0;
        u8 second = more ? bytes[i + 1] : 0;
        if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
            (first == 0xF4 && second > 0x8F))
            return 0;
        for (u32 k = 1; k <= more; k++)
            if ((bytes[i + k] & 0xC0) != 0x80)
                return 0;
        i += 1 + more;
    }
    return 1;
}

// Texts were cut at their room's end, perhaps inside a letter: what is no UTF-8 is left out of an answer.
void put_json(struct text *text, const char *words)
{
    u32 size = text_length(words);
    while (size && !utf8_valid((const u8 *)words, size))
        size--;
    put_char(text, '"');
    for (u32 i = 0; i < size; i++) {
        u8 symbol = (u8)words[i];
        if (symbol == '"' || symbol == '\\')
            put_char(text, '\\');
        if (symbol < ' ') {
            put(text, "\\u00");
            put_digits(text, symbol, 2);
        } else {
            put_char(text, (char)symbol);
        }
    }
    put_char(text, '"');
}

void put_wide(struct text *text, const WCHAR *words)
{
    char bytes[2 * MAX_PATH];
    int size = WideCharToMultiByte(CP_UTF8, 0, words, -1, bytes, sizeof bytes, 0, 0);
    put(text, size > 0 ? bytes : "?");
}

u32 text_length(const char *words)
{
    u32 length = 0;
    while (words[length])
        length++;
    return length;
}

int text_same(const char *one, const char *other)
{
    for (; *one && *one == *other; one++, other++)
        ;
    return *one == *other;
}

static char lower(char symbol) { return symbol >= 'A' && symbol <= 'Z' ? (char)(symbol | 0x20) : symbol; }

int text_same_name(const char *one, const char *other)
{
    for (; *one && lower(*one) == lower(*other); one++, other++)
        ;
    return lower(*one) == lower(*other);
}

void text_copy(char *to, u32 room, const u8 *from, u32 size)
{
    u32 used = size < room - 1 ? size : room - 1;
    memcpy(to, from, used);
    to[used] = 0;
}

struct text *fail(struct failure *failure, const char *slug, const char *module, const char *function)
{
    failure->slug = slug;
    text_copy(failure->module, NAME_ROOM, (const u8 *)module, text_length(module));
    text_copy(failure->function, FUNCTION_ROOM, (const u8 *)function, text_length(function));
    failure->text = text_in(failure->detail, DETAIL_ROOM);
    return &failure->text;
}

u64 ticks(void)
{
    LARGE_INTEGER now;
    QueryPerformanceCounter(&now);
    return (u64)now.QuadPart;
}

u64 nanoseconds(u64 count)
{
    LARGE_INTEGER a_second;
    QueryPerformanceFrequency(&a_second);
    u64 unit = (u64)a_second.QuadPart;
    return count / unit * 1000000000 + count % unit * 1000000000 / unit;
}
