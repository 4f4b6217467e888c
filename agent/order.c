// Checks an order before anything believes it: bounds, order, and that it does not contradict itself.
#include "order.h"

static const u8 MAGIC[8] = {'H', 'P', 'O', 'R', 'D', 'E', 'R', 1};

static int bad(struct failure *failure, const char *module, const char *why)
{
    put(fail(failure, "bad-order", module, ""), why);
    return 0;
}

static int blob_fits(const struct order *order, struct wire_blob blob)
{
    return blob.offset <= order->size && blob.size <= order->size - blob.offset;
}

static int list_fits(const struct order *order, struct wire_list list, u32 stride)
{
    return list.offset % 4 == 0 && list.offset <= order->size && list.count <= (order->size - list.offset) / stride;
}

static int text_fits(const struct order *order, struct wire_blob blob)
{
    return blob.size && blob.size <= ORDER_TEXT && blob_fits(order, blob) &&
           utf8_valid(order_at(order, blob.offset), blob.size);
}

// Whether the numbers of a list ascend by at least `apart` inside of [low, high - apart].
static int ascends(const struct order *order, struct wire_list list, u32 apart, u64 low, u64 high)
{
    const u32 *numbers = order_at(order, list.offset);
    for (u32 i = 0; i < list.count; i++) {
        if (numbers[i] < low || numbers[i] + (u64)apart > high)
            return 0;
        low = numbers[i] + (u64)apart;
    }
    return 1;
}

u32 redirection_start(const struct wire_redirection *item)
{
    return item->kind == PAD_JUMP ? item->entry - PAD_SIZE : item->entry;
}

u32 redirection_target(const struct wire_redirection *item)
{
    u32 distance;
    memcpy(&distance, item->new + 1, sizeof distance);
    return redirection_start(item) + ENTRY_JUMP_SIZE + distance;
}

static int redirection_sound(const struct wire_module *module, const struct wire_redirection *item)
{
    u32 size = item->kind == PAD_JUMP ? PAD_JUMP_SIZE : item->kind == ENTRY_JUMP ? ENTRY_JUMP_SIZE : 0;
    if (!size || item->size != size || item->function >= module->functions.count)
        return 0;
    if (item->entry < PAGE || item->entry > module->size_of_image - PAD_JUMP_SIZE)
        return 0;
    if (item->new[0] != 0xE9 || (item->kind == PAD_JUMP && (item->new[5] != 0xEB || item->new[6] != 0xF9)))
        return 0;
    u32 target = redirection_target(item);
    return target >= module->nominal_start && target < module->nominal_end;
}

static int redirections_sound(const struct order *order, const struct wire_module *module)
{
    const struct wire_redirection *items = order_redirections(order, module);
    for (u32 i = 0; i < module->redirections.count; i++)
        if (!redirection_sound(module, items + i))
            return 0;
    return 1;
}

static int functions_sound(const struct order *order, const struct wire_module *module)
{
    const struct wire_blob *names = order_at(order, module->functions.offset);
    for (u32 i = 0; i < module->functions.count; i++)
        if (!text_fits(order, names[i]))
            return 0;
    return 1;
}

static int expected_sound(const struct order *order, const struct wire_module *module)
{
    const struct wire_expected *ranges = order_at(order, module->expected.offset);
    u64 low = 0;
    for (u32 i = 0; i < module->expected.count; i++) {
        struct wire_blob content = {ranges[i].offset, ranges[i].size};
        if (ranges[i].rva < low || !blob_fits(order, content))
            return 0;
        low = ranges[i].rva + (u64)ranges[i].size;
        if (low > module->size_of_image)
            return 0;
    }
    return 1;
}

static int place_sound(const struct wire_module *module)
{
    u64 size = (u64)module->nominal_end - module->nominal_start;
    return module->base % GRANULE == 0 && module->image_base % GRANULE == 0 && module->size_of_image > 2 * PAGE &&
           module->nominal_start % GRANULE == 0 && module->nominal_end % PAGE == 0 &&
           module->nominal_start >= module->size_of_image && module->nominal_end > module->nominal_start &&
           module->nominal_end <= 0x80000000u && size <= ORDER_LIMIT && !module->zero;
}

static int lists_fit(const struct order *order, const struct wire_module *module)
{
    return blob_fits(order, module->image) && list_fits(order, module->addr64, 4) &&
           list_fits(order, module->rel32, 4) && list_fits(order, module->addr32nb, 4) &&
           list_fits(order, module->redirections, sizeof(struct wire_redirection)) &&
           list_fits(order, module->functions, sizeof(struct wire_blob)) &&
           list_fits(order, module->expected, sizeof(struct wire_expected)) && list_fits(order, module->sites, 4) &&
           list_fits(order, module->call_targets, 4);
}

static int module_sound(const struct order *order, const struct wire_module *module, struct failure *failure)
{
    char name[NAME_ROOM];
    if (!text_fits(order, module->name))
        return bad(failure, "", "a module's name is no text");
    order_name(order, module->name, name, sizeof name);
    u64 start = module->nominal_start, end = module->nominal_end;
    if (!lists_fit(order, module))
        return bad(failure, name, "a list or blob lies outside of the order");
    if (!place_sound(module))
        return bad(failure, name, "the base, the size or the place of the patch image is impossible");
    if (!ascends(order, module->addr64, 8, start, end) || !ascends(order, module->rel32, 4, start, end) ||
        !ascends(order, module->addr32nb, 4, start, end) || !ascends(order, module->call_targets, 1, start, end))
        return bad(failure, name, "fixups or call targets do not ascend inside of the patch image");
    if (!ascends(order, module->sites, 8, 0, module->size_of_image))
        return bad(failure, name, "relocation sites do not ascend inside of the module");
    if (!functions_sound(order, module))
        return bad(failure, name, "a function's name is no text");
    if (!redirections_sound(order, module))
        return bad(failure, name, "a redirection is none, or leads out of the patch image");
    if (!expected_sound(order, module))
        return bad(failure, name, "expected ranges do not ascend inside of the module");
    return 1;
}

int order_read(struct order *order, const u8 *bytes, u64 size, struct failure *failure)
{
    const struct wire_header *header = (const struct wire_header *)bytes;
    *order = (struct order){bytes, size, header, 0, 0};
    if (size < sizeof *header || size > ORDER_LIMIT || memcmp(header->magic, MAGIC, sizeof MAGIC))
        return bad(failure, "", "it is none");
    if (header->version != ORDER_VERSION || header->header_size != sizeof *header || header->size != size)
        return bad(failure, "", "its version or size is not the one this agent reads");
    if (!text_fits(order, header->id) || header->id.size > ORDER_ID || !text_fits(order, header->product))
        return bad(failure, "", "its id or product is no text");
    if (!list_fits(order, header->modules, sizeof *order->modules) || !header->modules.count ||
        header->modules.count > ORDER_MODULES)
        return bad(failure, "", "it has no modules, or too many");
    order->modules = order_at(order, header->modules.offset);
    order->module_count = header->modules.count;
    for (u32 i = 0; i < order->module_count; i++)
        if (!module_sound(order, order->modules + i, failure))
            return 0;
    return 1;
}

void order_name(const struct order *order, struct wire_blob blob, char *to, u32 room)
{
    text_copy(to, room, order_at(order, blob.offset), blob.size);
}

const struct wire_redirection *order_redirections(const struct order *order, const struct wire_module *module)
{
    return order_at(order, module->redirections.offset);
}

void order_function(const struct order *order, const struct wire_module *module, u32 index, char *to, u32 room)
{
    const struct wire_blob *names = order_at(order, module->functions.offset);
    order_name(order, names[index], to, room);
}
