// What has to be written, and how, to get from one package (or the baseline) to another (or the baseline).
#include "decode.h"
#include "resident.h"

// Filler before an entry that a thread may run through or into: no-ops lead to the entry, an int3 to the handler.
static int harmless(const u8 *filler)
{
    for (u32 i = 1; i < PAD_SIZE; i++)
        if (filler[i] != filler[0])
            return 0;
    return filler[0] == 0xCC || filler[0] == 0x90;
}

static int refuse_call(struct command *command, const struct patched *module, const struct window *window)
{
    struct text *why = fail(&command->failure, "window-has-call", module->name, window->function);
    put(why, "at RVA ");
    put_hex(why, window->entry);
    put(why, " a call ends within the first 5 bytes");
    return 0;
}

// How the bytes of `write` can change while threads run. `from` and `to`: the windows before and after, 0: baseline.
static int choose_mode(struct command *command, struct write *write, const struct window *from, const struct window *to)
{
    write->mode = AT_ONCE;
    if (!from && to->kind == ENTRY_JUMP) {
        u64 entry = write->address + write->entry;
        struct borders borders = {0, 0, 0};
        if (readable(entry, ENTRY_JUMP_SIZE + 2 * LONGEST_INSTRUCTION))
            borders = borders_of((const u8 *)entry, ENTRY_JUMP_SIZE);
        if (borders.returns)
            return refuse_call(command, write->module, to);
        if (!borders.known || borders.starts)
            write->mode = GUARDED;
    } else if (from && from->kind == PAD_JUMP && to && to->kind == ENTRY_JUMP) {
        write->mode = GUARDED; // behind the short jump lies the rest of the old code, in which threads may be
    } else if (from && from->kind == PAD_JUMP && !to && !harmless(from->old)) {
        write->mode = ENTRY_FIRST;
    }
    return 1;
}

static int add(struct command *command, struct plan *plan, const struct patched *module, struct window *from,
               struct window *to)
{
    struct write *write = plan->writes + plan->count++;
    u32 start = from ? from->start : to->start, end = from ? from->start + from->size : to->start + to->size;
    if (to && to->start < start)
        start = to->start;
    if (to && to->start + to->size > end)
        end = to->start + to->size;
    write->address = module->base + start;
    write->size = end - start;
    write->entry = (to ? to->entry : from->entry) - start;
    write->module = module;
    write->window = to ? to : from;
    memcpy(write->before, (const void *)write->address, write->size);
    memcpy(write->after, write->before, write->size);
    if (from)
        memcpy(write->after + (from->start - start), from->old, from->size);
    if (to)
        memcpy(write->after + (to->start - start), to->new, to->size);
    return choose_mode(command, write, from, to);
}

// Windows of two packages that share bytes must be about the same entry.
static int disjoint(struct command *command, const struct patched *module, const struct window *window,
                    const struct patched *other)
{
    for (u32 rva = window->start; rva < window->start + window->size; rva++) {
        const struct window *found = window_holding(other, rva);
        if (found && found->entry != window->entry) {
            put(fail(&command->failure, "bad-order", module->name, window->function),
                "its window overlaps that of another function in the active package");
            return 0;
        }
    }
    return 1;
}

static const struct patched *same_module(const struct package *package, u64 base)
{
    for (u32 i = 0; package && i < package->module_count; i++)
        if (package->modules[i].base == base)
            return package->modules + i;
    return 0;
}

static int add_new(struct command *command, struct plan *plan, const struct package *from, const struct patched *module)
{
    const struct patched *old = same_module(from, module->base);
    for (u32 i = 0; i < module->window_count; i++) {
        struct window *window = module->windows + i, *before = old ? window_at_entry(old, window->entry) : 0;
        if (old && !disjoint(command, module, window, old))
            return 0;
        if (!add(command, plan, module, before, window))
            return 0;
    }
    return 1;
}

static int add_gone(struct command *command, struct plan *plan, const struct patched *module, const struct package *to)
{
    const struct patched *new = same_module(to, module->base);
    for (u32 i = 0; i < module->window_count; i++)
        if (!new || !window_at_entry(new, module->windows[i].entry))
            if (!add(command, plan, module, module->windows + i, 0))
                return 0;
    return 1;
}

static void writes_sift(struct write *writes, u32 at, u32 count)
{
    for (u32 child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && writes[child + 1].address > writes[child].address)
            child++;
        if (writes[child].address <= writes[at].address)
            return;
        struct write write = writes[at];
        writes[at] = writes[child];
        writes[child] = write;
    }
}

static void writes_sort(struct write *writes, u32 count)
{
    for (u32 i = count / 2; i--;)
        writes_sift(writes, i, count);
    for (u32 last = count; last > 1;) {
        struct write write = writes[--last];
        writes[last] = writes[0];
        writes[0] = write;
        writes_sift(writes, 0, last);
    }
}

int plan_package(struct command *command, struct plan *plan, const struct package *from, const struct package *to)
{
    u32 room = plan->count;
    for (u32 i = 0; from && i < from->module_count; i++)
        room += from->modules[i].window_count;
    for (u32 i = 0; to && i < to->module_count; i++)
        room += to->modules[i].window_count;
    struct write *writes = scratch(command, (u64)room * sizeof *writes);
    if (!writes)
        return 0;
    memcpy(writes, plan->writes, plan->count * sizeof *writes);
    plan->writes = writes;
    for (u32 i = 0; to && i < to->module_count; i++)
        if (!add_new(command, plan, from, to->modules + i))
            return 0;
    for (u32 i = 0; from && i < from->module_count; i++)
        if (!add_gone(command, plan, from->modules + i, to))
            return 0;
    writes_sort(plan->writes, plan->count);
    return 1;
}
