// Writes a plan into the modules, all of it or nothing. A page of code is writable only while it is not executable;
// threads that come to it meanwhile wait in the handler. Within a page the stores are ordered so that even a processor
// that executed it would meet an int3 before half a jump.
#include "resident.h"

enum step { FIRST, SECOND, BACK, BACK_REST };
enum { LONGEST_FLIP = 64 * PAGE, TRIES = 100 };

// Writes that are on the same pages, done with one flip.
struct group {
    u64 start, end;
    u32 first, count;
};

static void store(volatile u8 *to, const u8 *from, u32 size)
{
    for (u32 i = 0; i < size; i++)
        to[i] = from[i];
}

// All bytes, the entry's own last; an int3 stands there meanwhile.
static void store_guarded(const struct write *write, const u8 *bytes)
{
    volatile u8 *at = (volatile u8 *)write->address;
    u32 entry = write->entry;
    int rest_differs = 0;
    for (u32 i = 0; i < write->size; i++)
        rest_differs |= i != entry && at[i] != bytes[i];
    if (rest_differs) {
        at[entry] = 0xCC;
        store(at, bytes, entry);
        store(at + entry + 1, bytes + entry + 1, write->size - entry - 1);
    }
    at[entry] = bytes[entry];
}

// Only what is at and behind the entry.
static void store_entry(const struct write *write, const u8 *bytes)
{
    struct write behind = *write;
    behind.address += write->entry;
    behind.size -= write->entry;
    behind.entry = 0;
    store_guarded(&behind, bytes + write->entry);
}

static int acts(const struct write *write, enum step step)
{
    if (step == FIRST)
        return write->progress == UNTOUCHED;
    if (step == SECOND)
        return write->progress == HALF;
    return write->progress != UNTOUCHED;
}

// Undoing a pad-jump: threads may be on their way through the pad, as when it is reverted.
static int pad_in_use(const struct write *write)
{
    return write->entry && write->after[write->entry] == 0xEB && memcmp(write->before, write->after, write->entry);
}

static void write_one(struct command *command, struct write *write, enum step step)
{
    command->touched = 1;
    if (step == FIRST && write->mode == AT_ONCE) {
        store_guarded(write, write->after);
        write->progress = WRITTEN;
    } else if (step == FIRST && write->mode == GUARDED) {
        write->window->leading = 1;
        *(volatile u8 *)(write->address + write->entry) = 0xCC;
        write->progress = HALF;
    } else if (step == FIRST) {
        store_entry(write, write->after);
        write->progress = HALF;
    } else if (step == SECOND) {
        store_guarded(write, write->after);
        write->window->leading = 0;
        write->progress = WRITTEN;
    } else if (step == BACK && pad_in_use(write)) {
        store_entry(write, write->before);
        write->progress = HALF;
    } else {
        store_guarded(write, write->before);
        write->window->leading = 0;
        write->progress = UNTOUCHED;
    }
}

static int protect(u64 start, u64 size, u32 protection, u32 *old)
{
    DWORD previous = 0;
    int done = VirtualProtect((void *)start, size, protection, &previous) != 0;
    *old = previous;
    return done;
}

// A page that was made writable must become executable again, whatever became of VirtualProtect meanwhile.
static int protect_back(u64 start, u64 size, u32 protection)
{
    for (u32 turn = 0; turn < TRIES; turn++) {
        u32 old;
        if (protect(start, size, protection, &old))
            return 1;
        if (protect_directly(start, size, protection))
            return 1;
        Sleep(1);
    }
    return 0;
}

static int refuse_page(struct command *command, const struct write *write, const char *words, u64 page)
{
    struct text *why = fail(&command->failure, "protect-failed", write->module->name, write->window->function);
    u32 error = GetLastError();
    put(why, words);
    put_hex(why, page);
    put(why, " (error ");
    put_number(why, error);
    put(why, ")");
    return 0;
}

// One page, or a few that a window crosses: writable and not executable, the stores, back.
static int flip(struct command *command, struct plan *plan, const struct group *group, enum step step)
{
    struct write *first = plan->writes + group->first;
    u64 size = group->end - group->start;
    u32 old;
    flip_begin(group->start, size);
    if (!protect(group->start, size, PAGE_READWRITE, &old)) {
        flip_end();
        return refuse_page(command, first, "VirtualProtect refused to make it writable: ", group->start);
    }
    int sound = !flip_broken;
    for (u32 i = 0; sound && i < group->count; i++)
        if (acts(first + i, step))
            write_one(command, first + i, step);
    int back = protect_back(group->start, size, old);
    flip_end();
    command->flips++;
    FlushInstructionCache(GetCurrentProcess(), (void *)group->start, size);
    if (!sound)
        return refuse_page(command, first, "VirtualProtect itself runs through it: ", group->start);
    return back || refuse_page(command, first, "it could not be made executable again: ", group->start);
}

// The next group that has something to do in this step; 0 when there is none.
static int next_group(const struct plan *plan, enum step step, u32 *at, struct group *group)
{
    while (*at < plan->count && !acts(plan->writes + *at, step))
        ++*at;
    if (*at == plan->count)
        return 0;
    const struct write *write = plan->writes + *at;
    *group = (struct group){page_of(write->address), round_up(write->address + write->size, PAGE), *at, 0};
    for (; *at < plan->count; ++*at, group->count++) {
        write = plan->writes + *at;
        u64 end = round_up(write->address + write->size, PAGE);
        if (write->address >= group->end || end - group->start > LONGEST_FLIP)
            break;
        group->end = end > group->end ? end : group->end;
    }
    return 1;
}

static int flip_all(struct command *command, struct plan *plan, enum step step)
{
    struct group group;
    for (u32 at = 0; next_group(plan, step, &at, &group);)
        if (!flip(command, plan, &group, step))
            return 0;
    return 1;
}

static void report_inside(struct command *command, const struct plan *plan, u64 inside)
{
    for (u32 i = 0; i < plan->count; i++) {
        const struct write *write = plan->writes + i;
        if (inside - write->address < write->size) {
            struct text *why =
                fail(&command->failure, "thread-in-window", write->module->name, write->window->function);
            put(why, "at RVA ");
            put_hex(why, inside - write->module->base);
            put(why, " for ");
            put_number(why, plan->window_limit_ms);
            put(why, " ms");
        }
    }
}

// Waits until no thread is inside of what the next step writes.
static int look(struct command *command, struct plan *plan)
{
    struct range *ranges = scratch(command, 2 * (u64)plan->count * sizeof *ranges);
    u32 count = 0;
    u64 inside = 0;
    if (!ranges)
        return 0;
    for (u32 i = 0; i < plan->count; i++) {
        const struct write *write = plan->writes + i;
        u64 entry = write->address + write->entry;
        if (write->progress != HALF)
            continue;
        if (write->entry)
            ranges[count++] = (struct range){write->address, entry};
        if (write->mode == GUARDED)
            ranges[count++] = (struct range){entry + 1, write->address + write->size};
    }
    if (!count || look_until_clear(command, ranges, count, plan->window_limit_ms, &inside))
        return 1;
    report_inside(command, plan, inside);
    return 0;
}

static int reread(struct command *command, const struct plan *plan)
{
    for (u32 i = 0; i < plan->count; i++) {
        const struct write *write = plan->writes + i;
        if (memcmp((const void *)write->address, write->after, write->size)) {
            struct text *why = fail(&command->failure, "reread-differs", write->module->name, write->window->function);
            put(why, "written ");
            put_bytes(why, write->after, write->size);
            put(why, ", read ");
            put_bytes(why, (const u8 *)write->address, write->size);
            return 0;
        }
    }
    return 1;
}

// Every byte as it was. What fails here is tried again: there is nowhere else to go.
static void undo(struct command *command, struct plan *plan)
{
    struct failure cause = command->failure;
    journal_phase(UNDOING, 0);
    int done = 0;
    for (u32 turn = 0; turn < TRIES && !done; turn++) {
        done = flip_all(command, plan, BACK);
        if (!done)
            Sleep(1);
    }
    // A thread held inside a pad keeps its jump, which nobody else can reach any more.
    if (done && look(command, plan))
        done = flip_all(command, plan, BACK_REST);
    else
        done = 0;
    command->failure = cause;
    command->failure.text.at = command->failure.detail;
    if (!done)
        put(&command->failure.text, "; not everything could be put back");
}

int plan_commit(struct command *command, struct plan *plan)
{
    u64 begun = ticks();
    int done = flip_all(command, plan, FIRST) && look(command, plan) && flip_all(command, plan, SECOND) &&
               reread(command, plan);
    command->commit_ticks = ticks() - begun;
    if (!done)
        undo(command, plan);
    return done;
}
