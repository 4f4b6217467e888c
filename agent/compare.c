// Is the module in memory the one the package was made for, byte for byte? Relocated fields are computed for the real
// base, not left out. Where this product's active package has written, its old bytes stand in (`overlay`).
#include "resident.h"

static const IMAGE_NT_HEADERS64 *headers_of(u64 base)
{
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)base;
    if (!readable(base, PAGE) || dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < (LONG)sizeof *dos ||
        dos->e_lfanew > PAGE - (LONG)sizeof(IMAGE_NT_HEADERS64))
        return 0;
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(base + (u32)dos->e_lfanew);
    return headers->Signature == IMAGE_NT_SIGNATURE ? headers : 0;
}

static int foundation(HMODULE module)
{
    static const WCHAR *const names[] = {L"ntdll.dll", L"kernel32.dll", L"kernelbase.dll"};
    for (u32 i = 0; i < sizeof names / sizeof *names; i++)
        if (module == GetModuleHandleW(names[i]))
            return 1;
    HMODULE own = 0;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (const WCHAR *)&hpagent_journal, &own);
    return module == own;
}

// Finds a module and takes a reference on it.
HMODULE module_find(const struct order *order, const struct wire_module *wire, struct failure *failure)
{
    char name[NAME_ROOM];
    WCHAR wide[NAME_ROOM];
    HMODULE module = 0;
    order_name(order, wire->name, name, sizeof name);
    if (wire->base) {
        GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (const WCHAR *)wire->base, &module);
        if (module && (u64)module != wire->base) {
            FreeLibrary(module);
            module = 0;
        }
    } else if (MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, NAME_ROOM)) {
        GetModuleHandleExW(0, wide, &module);
    }
    struct text *why;
    if (!module) {
        why = fail(failure, "module-missing", name, "");
        put(why, wire->base ? "no module begins at " : "no module of this name is loaded");
        if (wire->base)
            put_hex(why, wire->base);
    } else if (foundation(module)) {
        put(fail(failure, "foundation-module", name, ""), "the agent stands on it");
        FreeLibrary(module);
        module = 0;
    }
    return module;
}

int module_pinned(u64 base, const struct wire_module *wire, const char *name, struct failure *failure)
{
    const IMAGE_NT_HEADERS64 *headers = headers_of(base);
    struct text *why;
    if (!headers || headers->FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64) {
        put(fail(failure, "pin-differs", name, ""), "its headers in memory are not those of an x64 module");
        return 0;
    }
    if (headers->FileHeader.TimeDateStamp == wire->time_date_stamp &&
        headers->OptionalHeader.CheckSum == wire->checksum && headers->OptionalHeader.SizeOfImage == wire->size_of_image)
        return 1;
    why = fail(failure, "pin-differs", name, "");
    put(why, "loaded: TimeDateStamp ");
    put_hex(why, headers->FileHeader.TimeDateStamp);
    put(why, ", CheckSum ");
    put_hex(why, headers->OptionalHeader.CheckSum);
    put(why, ", SizeOfImage ");
    put_hex(why, headers->OptionalHeader.SizeOfImage);
    put(why, "; the package is for ");
    put_hex(why, wire->time_date_stamp);
    put(why, ", ");
    put_hex(why, wire->checksum);
    put(why, ", ");
    put_hex(why, wire->size_of_image);
    return 0;
}

// Whether the module that a record is about is still there.
int module_loaded(const struct patched *module)
{
    HMODULE found = 0;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (const WCHAR *)module->base, &found);
    const IMAGE_NT_HEADERS64 *headers = (u64)found == module->base ? headers_of(module->base) : 0;
    return headers && headers->FileHeader.TimeDateStamp == module->time_date_stamp &&
           headers->OptionalHeader.SizeOfImage == module->size_of_image;
}

// The byte at `rva` as it would be without `overlay`.
static u8 baseline_byte(u64 base, const struct patched *overlay, u32 rva)
{
    const struct window *window = overlay ? window_holding(overlay, rva) : 0;
    return window ? window->old[rva - window->start] : *(const u8 *)(base + rva);
}

static const char *function_near(const struct patched *module, u32 low, u32 rva)
{
    const char *found = "";
    for (u32 i = 0; i < module->window_count && module->windows[i].entry <= rva; i++)
        if (module->windows[i].entry >= low)
            found = module->windows[i].function;
    return found;
}

static int report_byte(const struct patched *module, u32 low, u32 rva, u8 found, u8 wanted, struct failure *failure)
{
    struct text *why = fail(failure, "code-differs", module->name, function_near(module, low, rva));
    put(why, "at RVA ");
    put_hex(why, rva);
    put(why, " is ");
    put_hex(why, found);
    put(why, ", in the file ");
    put_hex(why, wanted);
    return 0;
}

// Compares `size` bytes; `wanted` are the file's, moved already.
static int same_bytes(const struct patched *module, const struct patched *overlay, u32 low, u32 rva, const u8 *wanted,
                      u32 size, struct failure *failure)
{
    const u8 *found = (const u8 *)(module->base + rva);
    for (u32 i = 0; i < size; i++)
        if (found[i] != wanted[i]) {
            u8 original = baseline_byte(module->base, overlay, rva + i);
            if (original != wanted[i])
                return report_byte(module, low, rva + i, original, wanted[i], failure);
        }
    return 1;
}

static int range_expected(const struct order *order, const struct wire_module *wire, const struct patched *module,
                          const struct patched *overlay, const struct wire_expected *range, u32 *next,
                          struct failure *failure)
{
    const u32 *sites = order_at(order, wire->sites.offset);
    const u8 *content = order_at(order, range->offset);
    u32 at = range->rva, end = range->rva + range->size;
    if (!readable(module->base + at, range->size)) {
        put(fail(failure, "code-differs", module->name, function_near(module, at, end)), "it may not be read");
        return 0;
    }
    while (*next < wire->sites.count && sites[*next] + 8 <= at)
        ++*next;
    for (; *next < wire->sites.count && sites[*next] < end; ++*next) {
        u32 site = sites[*next];
        if (site < at || site + 8 > end) {
            put(fail(failure, "bad-order", module->name, ""), "a relocated field crosses the edge of an expected range");
            return 0;
        }
        u64 field;
        memcpy(&field, content + (site - range->rva), sizeof field);
        field += module->base - wire->image_base;
        if (!same_bytes(module, overlay, range->rva, at, content + (at - range->rva), site - at, failure) ||
            !same_bytes(module, overlay, range->rva, site, (const u8 *)&field, sizeof field, failure))
            return 0;
        at = site + 8;
    }
    return same_bytes(module, overlay, range->rva, at, content + (at - range->rva), end - at, failure);
}

int module_expected(const struct order *order, const struct wire_module *wire, const struct patched *module,
                    const struct patched *overlay, struct failure *failure)
{
    const struct wire_expected *ranges = order_at(order, wire->expected.offset);
    u32 next = 0;
    for (u32 i = 0; i < wire->expected.count; i++)
        if (ranges[i].size && !range_expected(order, wire, module, overlay, ranges + i, &next, failure))
            return 0;
    return 1;
}

// Every window holds the baseline's bytes, or under the overlay would.
int windows_original(const struct patched *module, const struct patched *overlay, struct failure *failure)
{
    for (u32 i = 0; i < module->window_count; i++) {
        const struct window *window = module->windows + i;
        if (!readable(module->base + window->start, window->size))
            return report_foreign(module, window, failure);
        for (u32 k = 0; k < window->size; k++)
            if (baseline_byte(module->base, overlay, window->start + k) != window->old[k])
                return report_foreign(module, window, failure);
    }
    return 1;
}

// Every window holds what this package wrote.
int windows_ours(const struct patched *module, struct failure *failure)
{
    for (u32 i = 0; i < module->window_count; i++) {
        const struct window *window = module->windows + i;
        if (!readable(module->base + window->start, window->size) ||
            memcmp((const u8 *)(module->base + window->start), window->new, window->size))
            return report_foreign(module, window, failure);
    }
    return 1;
}
