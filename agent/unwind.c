// Unwind tables of the new code: one dynamic function table for each module, the union of all blocks ever mapped above
// it, relative to the module's base. Wine looks only into the first table whose range, from its base on, holds the
// address; so there is one, and it is replaced by adding the new one before the old one goes.
#include "resident.h"

struct owner {
    u64 base;
    RUNTIME_FUNCTION *table;
    u32 count;
};

static struct owner owners[JOURNAL_MODULES];

static struct owner *owner_of(u64 base)
{
    struct owner *unused = 0;
    for (u32 i = 0; i < JOURNAL_MODULES; i++) {
        if (owners[i].base == base)
            return owners + i;
        if (!owners[i].base && !unused)
            unused = owners + i;
    }
    return unused;
}

// Goes over the blocks above `base`; with `to` it copies their rows. `added` is not in the list of packages yet.
static u32 rows_of(const struct package *list, const struct package *added, const struct package *without, u64 base,
                   RUNTIME_FUNCTION *to)
{
    u32 count = 0;
    for (const struct package *package = added ? added : list; package;
         package = package == added ? list : package->next)
        for (u32 i = 0; i < package->module_count; i++) {
            const struct patched *module = package->modules + i;
            if (package == without || module->base != base || !module->block || module->gone)
                continue;
            u32 rows = module->layout.table_size / sizeof *to;
            const u8 *table = (const u8 *)module->block + (module->layout.table_rva - module->nominal_start);
            if (to && rows)
                memcpy(to + count, table, rows * sizeof *to);
            count += rows;
        }
    return count;
}

static void sift(RUNTIME_FUNCTION *rows, u32 at, u32 count)
{
    for (u32 child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && rows[child + 1].BeginAddress > rows[child].BeginAddress)
            child++;
        if (rows[child].BeginAddress <= rows[at].BeginAddress)
            return;
        RUNTIME_FUNCTION row = rows[at];
        rows[at] = rows[child];
        rows[child] = row;
    }
}

static void rows_sort(RUNTIME_FUNCTION *rows, u32 count)
{
    for (u32 i = count / 2; i--;)
        sift(rows, i, count);
    for (u32 last = count; last > 1;) {
        RUNTIME_FUNCTION row = rows[--last];
        rows[last] = rows[0];
        rows[0] = row;
        sift(rows, 0, last);
    }
}

// Replaces the table of `base`. An old one may be in use by a thread that unwinds at this moment: its memory stays.
static int replace(const struct package *added, const struct package *without, u64 base)
{
    struct owner *owner = owner_of(base);
    u32 count = rows_of(packages, added, without, base, 0);
    RUNTIME_FUNCTION *table = 0;
    DWORD old;
    if (!owner)
        return 0;
    if (count == owner->count)
        return 1; // packages only add rows or only take theirs out: as many are the same
    if (count) {
        table = VirtualAlloc(0, count * sizeof *table, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (!table)
            return 0;
        rows_of(packages, added, without, base, table);
        rows_sort(table, count);
        if (!VirtualProtect(table, count * sizeof *table, PAGE_READONLY, &old) ||
            !RtlAddFunctionTable(table, count, base)) {
            VirtualFree(table, 0, MEM_RELEASE);
            return 0;
        }
    }
    if (owner->table)
        RtlDeleteFunctionTable(owner->table);
    *owner = (struct owner){table ? base : 0, table, count};
    return 1;
}

int unwind_add(const struct package *added, u64 base, struct failure *failure)
{
    if (replace(added, 0, base))
        return 1;
    put(fail(failure, "unwind-failed", "", ""), "RtlAddFunctionTable failed");
    return 0;
}

// Takes a package's rows out again; no thread was ever in its code. When no smaller table can be had the larger one
// stays: its rows for the package are about addresses at which nothing is.
void unwind_remove(const struct package *removed, u64 base) { replace(0, removed, base); }

// The module was unloaded: its table would hide those of whoever comes to lie there.
void unwind_forget(u64 base)
{
    struct owner *owner = owner_of(base);
    if (owner && owner->base == base && owner->table) {
        RtlDeleteFunctionTable(owner->table);
        *owner = (struct owner){0, 0, 0};
    }
}
