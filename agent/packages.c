// Records of packages in this process. The handler walks them at any moment and takes no lock: a record is complete
// before it is published, and stays for good once it was used.
#include "resident.h"

struct package *volatile packages;
volatile i32 readers;

void *scratch(struct command *command, u64 size)
{
    void **memory = VirtualAlloc(0, size + 64, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!memory) {
        put(fail(&command->failure, "no-room", "", ""), "no memory for the work itself");
        return 0;
    }
    *memory = command->scratch;
    command->scratch = memory;
    return (u8 *)memory + 64;
}

void scratch_end(struct command *command)
{
    while (command->scratch) {
        void *memory = command->scratch;
        command->scratch = *(void **)memory;
        VirtualFree(memory, 0, MEM_RELEASE);
    }
}

struct window *window_at_entry(const struct patched *module, u32 entry)
{
    u32 low = 0, high = module->window_count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (module->windows[middle].entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low < module->window_count && module->windows[low].entry == entry ? module->windows + low : 0;
}

// The window that has the byte at `rva`. Windows are disjoint and ascend by start and by entry alike.
const struct window *window_holding(const struct patched *module, u32 rva)
{
    u32 low = 0, high = module->window_count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (module->windows[middle].start + module->windows[middle].size <= rva)
            low = middle + 1;
        else
            high = middle;
    }
    return low < module->window_count && module->windows[low].start <= rva ? module->windows + low : 0;
}

static u64 names_size(const struct order *order)
{
    u64 size = 0;
    for (u32 i = 0; i < order->module_count; i++)
        for (u32 k = 0; k < order->modules[i].redirections.count; k++) {
            const struct wire_redirection *item = order_redirections(order, order->modules + i) + k;
            const struct wire_blob *names = order_at(order, order->modules[i].functions.offset);
            size += (names[item->function].size < FUNCTION_ROOM ? names[item->function].size : FUNCTION_ROOM) + 1;
        }
    return size;
}

// Sorts by start. Packages list their windows nearly in order: insertion is enough.
static void windows_sort(struct window *windows, u32 count)
{
    for (u32 i = 1; i < count; i++)
        for (u32 k = i; k && windows[k].start < windows[k - 1].start; k--) {
            struct window later = windows[k];
            windows[k] = windows[k - 1];
            windows[k - 1] = later;
        }
}

static int windows_build(const struct order *order, const struct wire_module *wire, struct patched *module, char **names,
                         struct failure *failure)
{
    const struct wire_redirection *items = order_redirections(order, wire);
    for (u32 i = 0; i < wire->redirections.count; i++) {
        struct window *window = module->windows + module->window_count++;
        window->start = redirection_start(items + i);
        window->entry = items[i].entry;
        window->size = items[i].size;
        window->kind = items[i].kind;
        window->destination = redirection_target(items + i); // an RVA as long as the block has no place
        memcpy(window->old, items[i].old, WINDOW_ROOM);
        memcpy(window->new, items[i].new, WINDOW_ROOM);
        order_function(order, wire, items[i].function, *names, FUNCTION_ROOM);
        window->function = *names;
        *names += text_length(*names) + 1;
    }
    windows_sort(module->windows, module->window_count);
    for (u32 i = 1; i < module->window_count; i++)
        if (module->windows[i - 1].start + module->windows[i - 1].size > module->windows[i].start) {
            put(fail(failure, "bad-order", module->name, module->windows[i].function), "two redirections overlap");
            return 0;
        }
    return 1;
}

struct package *package_build(const struct order *order, const u64 *bases, struct failure *failure)
{
    u64 size = sizeof(struct package) + order->module_count * sizeof(struct patched), windows = 0;
    for (u32 i = 0; i < order->module_count; i++)
        windows += order->modules[i].redirections.count;
    size = round_up(size, 16);
    u64 all = size + windows * sizeof(struct window) + names_size(order);
    struct package *package = VirtualAlloc(0, all, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!package)
        return put(fail(failure, "no-room", "", ""), "no memory for the package's record"), (struct package *)0;
    struct window *window = (struct window *)((u8 *)package + size);
    char *names = (char *)(window + windows);
    order_name(order, order->header->id, package->id, sizeof package->id);
    order_name(order, order->header->product, package->product, sizeof package->product);
    memcpy(package->sha256, order->header->bundle_sha256, sizeof package->sha256);
    package->sequence = order->header->sequence;
    package->module_count = order->module_count;
    for (u32 i = 0; i < order->module_count; i++) {
        const struct wire_module *wire = order->modules + i;
        struct patched *module = package->modules + i;
        order_name(order, wire->name, module->name, sizeof module->name);
        module->base = bases[i];
        module->time_date_stamp = wire->time_date_stamp;
        module->checksum = wire->checksum;
        module->size_of_image = wire->size_of_image;
        module->nominal_start = wire->nominal_start;
        module->size = wire->nominal_end - wire->nominal_start;
        module->windows = window;
        window += wire->redirections.count;
        if (!windows_build(order, wire, module, &names, failure) ||
            !layout_read(order, wire, &module->layout, module->name, failure)) {
            VirtualFree(package, 0, MEM_RELEASE);
            return 0;
        }
    }
    return package;
}

struct package *package_known(const struct order *order, const u64 *bases)
{
    for (struct package *package = packages; package; package = package->next) {
        if (memcmp(package->sha256, order->header->bundle_sha256, 32) || package->module_count != order->module_count)
            continue;
        u32 same = 0;
        while (same < order->module_count && package->modules[same].base == bases[same] &&
               !package->modules[same].gone)
            same++;
        if (same == order->module_count)
            return package;
    }
    return 0;
}

struct package *package_active(const char *product)
{
    for (struct package *package = packages; package; package = package->next)
        if (package->state == ACTIVE && text_same(package->product, product))
            return package;
    return 0;
}

struct package *package_of(u64 address)
{
    for (struct package *package = packages; package; package = package->next)
        for (u32 i = 0; i < package->module_count; i++)
            if (package->modules[i].block && address - package->modules[i].block < package->modules[i].size)
                return package;
    return 0;
}

void package_publish(struct package *package)
{
    package->next = packages;
    __atomic_store_n(&packages, package, __ATOMIC_SEQ_CST);
}

// Only for a package of which no byte was written into a module. The handler may be reading its record all the same;
// when a thread will not leave the handler (a debugger may hold it), the record stays.
void package_discard(struct package *package)
{
    if (packages == package)
        __atomic_store_n(&packages, package->next, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < package->module_count; i++) {
        unwind_remove(package, package->modules[i].base);
        block_free(package->modules + i);
    }
    for (u32 turn = 0; turn < 100 && __atomic_load_n(&readers, __ATOMIC_SEQ_CST); turn++)
        Sleep(1);
    if (!__atomic_load_n(&readers, __ATOMIC_SEQ_CST))
        VirtualFree(package, 0, MEM_RELEASE);
}
