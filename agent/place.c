// Puts a patch image to its place: reads its sections, moves it as hpbuild/patchimage/place.py does, finds room above
// the module, and gives every page its protection. Nothing is ever writable and executable at the same time.
#include "resident.h"

typedef BOOL(WINAPI *valid_targets)(HANDLE, void *, SIZE_T, ULONG, CFG_CALL_TARGET_INFO *);
typedef BOOL(WINAPI *policy_of)(HANDLE, int, void *, SIZE_T);
enum { GUARD_POLICY = 7, KEEP_TARGETS = 0x40000000, REACH_BITS = 31 };

static int bad(struct failure *failure, const char *name, const char *why)
{
    put(fail(failure, "bad-order", name, ""), why);
    return 0;
}

static int section_read(const IMAGE_SECTION_HEADER *header, const struct wire_module *wire, struct section *section,
                        u32 *cursor)
{
    u32 flags = header->Characteristics;
    u64 end = header->VirtualAddress + round_up(header->Misc.VirtualSize, PAGE);
    // As the loader maps it: the file's bytes up to the end of the page, filler included.
    u64 mapped = end - header->VirtualAddress;
    u32 used = header->SizeOfRawData < mapped ? header->SizeOfRawData : (u32)mapped;
    *section = (struct section){header->VirtualAddress, (u32)(end - header->VirtualAddress), header->PointerToRawData,
                                used, PAGE_READONLY};
    if (flags & IMAGE_SCN_MEM_EXECUTE)
        section->protection = PAGE_EXECUTE_READ;
    else if (flags & IMAGE_SCN_MEM_WRITE)
        section->protection = PAGE_READWRITE;
    if (flags & IMAGE_SCN_MEM_EXECUTE && flags & IMAGE_SCN_MEM_WRITE)
        return 0;
    if (section->rva < *cursor || section->rva % PAGE || !section->size || end > wire->nominal_end)
        return 0;
    *cursor = (u32)end;
    return section->raw <= wire->image.size && section->raw_size <= wire->image.size - section->raw;
}

int layout_read(const struct order *order, const struct wire_module *wire, struct layout *layout, const char *name,
                struct failure *failure)
{
    const u8 *image = order_at(order, wire->image.offset);
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)image;
    if (wire->image.size < PAGE / 4 || dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < 0 ||
        (u32)dos->e_lfanew > wire->image.size - sizeof(IMAGE_NT_HEADERS64))
        return bad(failure, name, "the patch image is no PE file");
    const IMAGE_NT_HEADERS64 *headers = (const IMAGE_NT_HEADERS64 *)(image + dos->e_lfanew);
    u64 table = (u32)dos->e_lfanew + sizeof headers->Signature + sizeof headers->FileHeader +
                headers->FileHeader.SizeOfOptionalHeader;
    u32 count = headers->FileHeader.NumberOfSections;
    if (headers->Signature != IMAGE_NT_SIGNATURE || headers->FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64 ||
        headers->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC || !count || count > SECTIONS ||
        headers->FileHeader.SizeOfOptionalHeader < sizeof headers->OptionalHeader ||
        table + count * sizeof(IMAGE_SECTION_HEADER) > wire->image.size)
        return bad(failure, name, "the headers of the patch image are not those of an x64 PE file");
    const IMAGE_SECTION_HEADER *sections = (const IMAGE_SECTION_HEADER *)(image + table);
    u32 cursor = wire->nominal_start;
    for (layout->count = 0; layout->count < count; layout->count++)
        if (!section_read(sections + layout->count, wire, layout->sections + layout->count, &cursor))
            return bad(failure, name, "a section of the patch image is out of place, or writable and executable");
    const IMAGE_DATA_DIRECTORY *directory = headers->OptionalHeader.DataDirectory + IMAGE_DIRECTORY_ENTRY_EXCEPTION;
    layout->table_rva = directory->VirtualAddress;
    layout->table_size = directory->Size;
    u64 end = (u64)directory->VirtualAddress + directory->Size;
    if (directory->Size && (directory->VirtualAddress < wire->nominal_start || end > wire->nominal_end ||
                            directory->Size % sizeof(RUNTIME_FUNCTION) || directory->VirtualAddress % 4))
        return bad(failure, name, "the exception directory lies outside of the patch image");
    return 1;
}

struct move {
    u64 old_base, new_base, delta;
    u32 start, end;
};

// 0 when the field's value is not one that can be moved (place.py: HP3703, HP3704).
static int field_move(u8 *field, u32 kind, const struct move *move)
{
    u64 wide;
    u32 narrow;
    memcpy(&narrow, field, sizeof narrow);
    if (kind == 0) { // ADDR64: an address in the patch image moves with it, one in the module with the module
        memcpy(&wide, field, sizeof wide);
        u64 rva = wide - move->old_base;
        wide = move->new_base + rva + (rva >= move->start ? move->delta : 0);
        memcpy(field, &wide, sizeof wide);
        return rva < move->end;
    }
    if (kind == 1) { // REL32: a distance to the module
        i64 moved = (i64)(i32)narrow - (i64)move->delta;
        narrow = (u32)moved;
        memcpy(field, &narrow, sizeof narrow);
        return moved >= -((i64)1 << REACH_BITS);
    }
    int inside = narrow >= move->start && narrow < move->end; // ADDR32NB: an RVA in the patch image
    narrow += (u32)move->delta;
    memcpy(field, &narrow, sizeof narrow);
    return inside;
}

// Walks the three ascending lists as one, so that overlapping fields are seen.
static int fields_move(const struct order *order, const struct wire_module *wire, u8 *memory, const struct move *move)
{
    static const u32 sizes[3] = {8, 4, 4};
    const struct wire_list lists[3] = {wire->addr64, wire->rel32, wire->addr32nb};
    u32 next[3] = {0, 0, 0}, cursor = move->start;
    for (;;) {
        u32 best = 3, site = ~0u;
        for (u32 kind = 0; kind < 3; kind++) {
            const u32 *sites = order_at(order, lists[kind].offset);
            if (next[kind] < lists[kind].count && sites[next[kind]] < site)
                best = kind, site = sites[next[kind]];
        }
        if (best == 3)
            return 1;
        next[best]++;
        if (site < cursor || site + sizes[best] > move->end || !field_move(memory + (site - move->start), best, move))
            return 0;
        cursor = site + sizes[best];
    }
}

// Writes the module's patch image as it is at its real place into `to`, `module->size` zero bytes.
int image_place(const struct order *order, const struct wire_module *wire, const struct patched *module, u8 *to,
                struct failure *failure)
{
    const u8 *image = order_at(order, wire->image.offset);
    const struct move move = {wire->image_base, module->base, module->delta, wire->nominal_start, wire->nominal_end};
    for (u32 i = 0; i < module->layout.count; i++) {
        const struct section *section = module->layout.sections + i;
        memcpy(to + (section->rva - module->nominal_start), image + section->raw, section->raw_size);
    }
    return fields_move(order, wire, to, &move) ? 1 : bad(failure, module->name, "a fixup cannot be carried out");
}

int call_targets_enforced(void)
{
    policy_of policy = (policy_of)(void *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "GetProcessMitigationPolicy");
    u32 flags = 0;
    return policy && policy(GetCurrentProcess(), GUARD_POLICY, &flags, sizeof flags) && flags & 1;
}

// The lowest legal place that is free: nominal + k * 64 KiB, wholly within 2 GiB above the base. Only reserved.
static int room_reserve(struct patched *module, struct failure *failure)
{
    u64 last = module->base + ((u64)1 << REACH_BITS) - module->size;
    for (u64 at = module->base + module->nominal_start; at <= last;) {
        MEMORY_BASIC_INFORMATION region;
        if (!VirtualQuery((void *)at, &region, sizeof region))
            break;
        u64 end = (u64)region.BaseAddress + region.RegionSize;
        if (region.State == MEM_FREE && end - at >= module->size) {
            module->block = (u64)VirtualAlloc((void *)at, module->size, MEM_RESERVE, PAGE_READWRITE);
            if (module->block == at) {
                module->delta = at - module->base - module->nominal_start;
                return 1;
            }
            block_free(module);
            at += GRANULE; // somebody was quicker, or the system keeps this place for itself
        } else {
            at = round_up(end > at ? end : at + 1, GRANULE);
        }
    }
    struct text *why = fail(failure, "no-room", module->name, "");
    put_number(why, module->size);
    put(why, " bytes above ");
    put_hex(why, module->base);
    return 0;
}

static int section_commit(const struct patched *module, const struct section *section, int targets)
{
    void *at = (void *)(module->block + (section->rva - module->nominal_start));
    DWORD old;
    if (section->protection != PAGE_EXECUTE_READ || !targets)
        return VirtualAlloc(at, section->size, MEM_COMMIT, PAGE_READWRITE) != 0;
    // Control Flow Guard: pages that become executable later would be call targets as a whole. So they are executable
    // first, with no targets, and writable then.
    return VirtualAlloc(at, section->size, MEM_COMMIT, PAGE_EXECUTE_READ | KEEP_TARGETS) &&
           VirtualProtect(at, section->size, PAGE_READWRITE, &old);
}

static int section_protect(const struct patched *module, const struct section *section, int targets)
{
    void *at = (void *)(module->block + (section->rva - module->nominal_start));
    u32 protection = section->protection;
    DWORD old;
    if (protection == PAGE_EXECUTE_READ && targets)
        protection |= KEEP_TARGETS;
    return protection == PAGE_READWRITE || VirtualProtect(at, section->size, protection, &old);
}

static int targets_mark(const struct order *order, const struct wire_module *wire, const struct patched *module)
{
    valid_targets mark =
        (valid_targets)(void *)GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "SetProcessValidCallTargets");
    const u32 *targets = order_at(order, wire->call_targets.offset);
    for (u32 i = 0; i < wire->call_targets.count; i++) {
        CFG_CALL_TARGET_INFO target = {targets[i] - module->nominal_start, 1};
        if (!mark || !mark(GetCurrentProcess(), (void *)module->block, module->size, 1, &target))
            return 0;
    }
    return 1;
}

// Windows of the record are for the nominal place until the block has one.
static void windows_move(struct patched *module)
{
    for (u32 i = 0; i < module->window_count; i++) {
        struct window *window = module->windows + i;
        u32 distance;
        memcpy(&distance, window->new + 1, sizeof distance);
        distance += (u32)module->delta;
        memcpy(window->new + 1, &distance, sizeof distance);
        window->destination += module->base + module->delta;
    }
}

int block_make(const struct order *order, const struct wire_module *wire, struct patched *module, u8 *placed,
               struct failure *failure)
{
    int targets = call_targets_enforced();
    const struct layout *layout = &module->layout;
    if (!room_reserve(module, failure) || !image_place(order, wire, module, placed, failure))
        return 0;
    for (u32 i = 0; i < layout->count; i++) {
        if (!section_commit(module, layout->sections + i, targets)) {
            put(fail(failure, "no-room", module->name, ""), "no memory for the new code");
            return 0;
        }
        u64 offset = layout->sections[i].rva - module->nominal_start;
        memcpy((u8 *)module->block + offset, placed + offset, layout->sections[i].size);
    }
    for (u32 i = 0; i < layout->count; i++)
        if (!section_protect(module, layout->sections + i, targets)) {
            put(fail(failure, "protect-failed", module->name, ""), "the new code could not be made executable");
            return 0;
        }
    if (targets && !targets_mark(order, wire, module)) {
        put(fail(failure, "call-targets-failed", module->name, ""), "SetProcessValidCallTargets failed");
        return 0;
    }
    FlushInstructionCache(GetCurrentProcess(), (void *)module->block, module->size);
    windows_move(module);
    return 1;
}

// The block's pages that nothing may have changed hold what they did. Variables keep their values.
int block_same(const struct patched *module, const u8 *placed, struct failure *failure)
{
    for (u32 i = 0; i < module->layout.count; i++) {
        const struct section *section = module->layout.sections + i;
        u64 offset = section->rva - module->nominal_start;
        if (section->protection == PAGE_READWRITE)
            continue;
        if (!readable(module->block + offset, section->size) ||
            memcmp((u8 *)module->block + offset, placed + offset, section->size)) {
            put(fail(failure, "reread-differs", module->name, ""), "the new code in memory is not the patch image's");
            return 0;
        }
    }
    return 1;
}

void block_free(struct patched *module)
{
    if (module->block)
        VirtualFree((void *)module->block, 0, MEM_RELEASE);
    module->block = 0;
}
