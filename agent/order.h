// The order as it comes from outside (hpbuild/apply/live/order.py describes the layout), and its checks.
#pragma once
#include "base.h"

enum { ORDER_VERSION = 1, ORDER_MODULES = 256, ORDER_TEXT = 1024, ORDER_ID = 128, ID_ROOM = 136, ORDER_LIMIT = 1 << 30, PAD_JUMP = 1, ENTRY_JUMP = 2,
       PAD_SIZE = 5, PAD_JUMP_SIZE = 7, ENTRY_JUMP_SIZE = 5 };

#pragma pack(push, 1)
struct wire_blob {
    u32 offset, size;
};

struct wire_list {
    u32 offset, count;
};

struct wire_header {
    u8 magic[8];
    u32 version, header_size;
    u64 size;
    u32 sequence, window_limit_ms;
    u8 bundle_sha256[32];
    struct wire_blob id, product;
    struct wire_list modules;
    u8 zero[40];
};

struct wire_module {
    struct wire_blob name;
    u64 base, image_base;
    u32 time_date_stamp, checksum, size_of_image, nominal_start, nominal_end, zero;
    u8 sha256[32];
    struct wire_blob image;
    struct wire_list addr64, rel32, addr32nb, redirections, functions, expected, sites, call_targets;
    u8 rest[8];
};

struct wire_redirection {
    u32 function, kind, entry, size;
    u8 old[8], new[8];
};

struct wire_expected {
    u32 rva, size, offset;
};
#pragma pack(pop)

// An order that passed every check below; nothing in it points outside of its bytes.
struct order {
    const u8 *bytes;
    u64 size;
    const struct wire_header *header;
    const struct wire_module *modules;
    u32 module_count;
};

// Reads and checks an order. What it refuses is `bad-order`.
int order_read(struct order *order, const u8 *bytes, u64 size, struct failure *failure);

static inline const void *order_at(const struct order *order, u32 offset) { return order->bytes + offset; }
void order_name(const struct order *order, struct wire_blob blob, char *to, u32 room);
const struct wire_redirection *order_redirections(const struct order *order, const struct wire_module *module);
void order_function(const struct order *order, const struct wire_module *module, u32 index, char *to, u32 room);

// The RVA that the redirection's near jump leads to, the patch image at its nominal place.
u32 redirection_target(const struct wire_redirection *item);
u32 redirection_start(const struct wire_redirection *item);
