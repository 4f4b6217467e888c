// Who wrote the bytes at an entry that are neither the module's nor ours?
#include "resident.h"

// Where the jump at `at` leads, 0 when none of the usual forms stands there.
static u64 jump_target(u64 at)
{
    const u8 *code = (const u8 *)at;
    i32 distance;
    u64 target = 0;
    if (!readable(at, 16))
        return 0;
    if (code[0] == 0xEB)
        return at + 2 + (u64)(i64)(signed char)code[1];
    memcpy(&distance, code + 1, sizeof distance);
    if (code[0] == 0xE9)
        return at + 5 + (u64)(i64)distance;
    u32 prefix = code[0] == 0x48 || code[0] == 0x49 || code[0] == 0x41; // REX
    if (code[prefix] == 0xFF && code[prefix + 1] == 0x25) { // jmp [rip + distance]
        memcpy(&distance, code + prefix + 2, sizeof distance);
        u64 slot = at + prefix + 6 + (u64)(i64)distance;
        if (readable(slot, sizeof target))
            memcpy(&target, (const void *)slot, sizeof target);
        return target;
    }
    if (prefix && (code[1] & 0xF8) == 0xB8) { // mov register, address; jmp register or push register, ret
        memcpy(&target, code + 2, sizeof target);
        return target;
    }
    if (code[0] == 0x68) { // push address; ret
        memcpy(&distance, code + 1, sizeof distance);
        return (u64)(i64)distance;
    }
    return 0;
}

// Windows keeps its slots directly behind the module: `jmp [rip + 0xFFA]`, reached from the five bytes before the entry.
static int windows_own(const struct patched *module, u64 entry)
{
    static const u8 slot_code[6] = {0xFF, 0x25, 0xFA, 0x0F, 0, 0};
    const u8 *code = (const u8 *)entry;
    if (!readable(entry - 6, 16) || code[0] != 0xEB || (code[1] != 0xF9 && code[1] != 0xF8))
        return 0;
    if (code[1] == 0xF8)
        return code[-6] == 0xFF && code[-5] == 0x25;
    if (code[-5] != 0xE9)
        return 0;
    u64 slot = jump_target(entry - 5), end = module->base + round_up(module->size_of_image, PAGE);
    return slot >= end && slot < end + 64 * GRANULE && readable(slot, sizeof slot_code) &&
           !memcmp((const u8 *)slot, slot_code, sizeof slot_code);
}

static void put_owner(struct text *why, u64 address)
{
    MEMORY_BASIC_INFORMATION region;
    WCHAR path[MAX_PATH];
    const struct package *package = package_of(address);
    if (package) {
        put(why, "package ");
        put(why, package->id);
    } else if (VirtualQuery((void *)address, &region, sizeof region) && region.Type == MEM_IMAGE &&
               GetModuleFileNameW(region.AllocationBase, path, MAX_PATH)) {
        put_wide(why, path);
        put(why, " + ");
        put_hex(why, address - (u64)region.AllocationBase);
    } else {
        put(why, "memory of no module at ");
        put_hex(why, address);
    }
}

int report_foreign(const struct patched *module, const struct window *window, struct failure *failure)
{
    u64 entry = module->base + window->entry, target = 0;
    struct text *why;
    if (windows_own(module, entry)) {
        put(fail(failure, "windows-hotpatch", module->name, window->function), "redirected to Windows' own patch table");
        return 0;
    }
    // Hooks chain: a short jump to a near one, that to an absolute one. What counts is where they leave the module.
    u64 at = entry, next = jump_target(entry);
    for (u32 hop = 0; hop < 8 && next; hop++, at = next, next = jump_target(at)) {
        target = next;
        if (package_of(target))
            break;
    }
    why = fail(failure, target ? "hooked" : "code-differs", module->name, window->function);
    put(why, "at RVA ");
    put_hex(why, window->start);
    put(why, " is ");
    if (readable(module->base + window->start, window->size))
        put_bytes(why, (const u8 *)(module->base + window->start), window->size);
    else
        put(why, "nothing that may be read");
    put(why, ", in the file ");
    put_bytes(why, window->old, window->size);
    if (target) {
        put(why, "; leads to ");
        put_owner(why, target);
    }
    return 0;
}
