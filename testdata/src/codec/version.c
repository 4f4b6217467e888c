/* The version resource, written as data so that no resource compiler is needed. */
#include "codec.h"

typedef unsigned short u16;

#define MAJOR 1
#define MINOR 4
#define PATCH 2
#define VERSION u"1.4.2.0"

#define ALIGNED __attribute__((aligned(4)))
#define HEADER u16 length, value_length, type
#define TEXT(name, characters, key_characters)                                                                         \
    struct name {                                                                                                      \
        HEADER;                                                                                                        \
        u16 key[key_characters];                                                                                       \
        ALIGNED u16 value[characters];                                                                                 \
    }

TEXT(description, 20, 16);
TEXT(file_version, 8, 12);
TEXT(original_name, 10, 17);
TEXT(product, 6, 12);
TEXT(product_version, 8, 15);
TEXT(translation, 2, 12);

struct block {
    HEADER;
    u16 key[16];
    ALIGNED u32 fixed[13];
    struct {
        HEADER;
        u16 key[15];
        struct {
            HEADER;
            u16 key[9];
            ALIGNED struct description description;
            ALIGNED struct file_version file_version;
            ALIGNED struct original_name original_name;
            ALIGNED struct product product;
            ALIGNED struct product_version product_version;
        } table ALIGNED;
    } strings ALIGNED;
    struct {
        HEADER;
        u16 key[12];
        ALIGNED struct translation translation;
    } variables ALIGNED;
};

#define STRING(type, key, text) { sizeof(struct type), sizeof(text) / 2, 1, key, text }
#define PART(member) sizeof(((struct block *)0)->member)

__attribute__((section(".rsrc$02"), used, nodebug)) static const struct block version_block = {
    sizeof(struct block), PART(fixed), 0, u"VS_VERSION_INFO",
    { 0xfeef04bd, 0x10000, MAJOR << 16 | MINOR, PATCH << 16, MAJOR << 16 | MINOR, PATCH << 16, 63, 0, 0x40004, 2 },
    { PART(strings), 0, 1, u"StringFileInfo",
      { PART(strings.table), 0, 1, u"040904b0",
        STRING(description, u"FileDescription", u"Example byte codecs"),
        STRING(file_version, u"FileVersion", VERSION),
        STRING(original_name, u"OriginalFilename", u"codec.dll"),
        STRING(product, u"ProductName", u"Codec"),
        STRING(product_version, u"ProductVersion", VERSION) } },
    { PART(variables), 0, 1, u"VarFileInfo",
      { sizeof(struct translation), 4, 0, u"Translation", { 0x409, 1200 } } },
};

/* Three levels of directory: type 16 (version), name 1, language 0x409; then address and size of the data. */
_Static_assert(sizeof(struct block) == 504, "the size is repeated below");
__asm__(".section .rsrc$01,\"dr\"\n"
        ".p2align 2\n"
        ".long 0, 0, 0\n .short 0, 1\n .long 16, 0x80000018\n"
        ".long 0, 0, 0\n .short 0, 1\n .long 1, 0x80000030\n"
        ".long 0, 0, 0\n .short 0, 1\n .long 0x409, 0x48\n"
        ".long version_block@IMGREL, 504, 1200, 0\n");
