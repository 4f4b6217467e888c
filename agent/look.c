// Looks at where the other threads are. A few are stopped together, because a thread must be scheduled before it stops,
// and is so the sooner the fewer others run. While they stand still no memory is taken and no lock.
#include "resident.h"

typedef LONG(NTAPI *next_thread)(HANDLE, HANDLE, ACCESS_MASK, ULONG, ULONG, HANDLE *);
enum { TOGETHER = JOURNAL_STOPPED, STACK_WORDS = 2048, CODE_SELECTOR = 0x33 };

struct crowd {
    HANDLE threads[TOGETHER];
    u64 stopped[TOGETHER]; // 0: it was not
    u32 count;
};

static next_thread next;

static int in_ranges(u64 address, const struct range *ranges, u32 count)
{
    u32 low = 0, high = count;
    if (address < ranges[0].start || address >= ranges[count - 1].end)
        return 0;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].start <= address;
}

static u64 stack_words(u64 stack)
{
    MEMORY_BASIC_INFORMATION region;
    if (!VirtualQuery((void *)stack, &region, sizeof region) || region.State != MEM_COMMIT ||
        region.Protect != PAGE_READWRITE)
        return 0;
    u64 words = ((u64)region.BaseAddress + region.RegionSize - stack) / 8;
    return words < STACK_WORDS ? words : STACK_WORDS;
}

// A thread that is being led through an exception comes back to the address in the CONTEXT on its stack, at the very
// end in the frame of an iret. Both have the code selector beside the address.
static u64 returning_to(u64 stack, const struct range *ranges, u32 count)
{
    const u32 rip = __builtin_offsetof(CONTEXT, Rip) / 8, selectors = __builtin_offsetof(CONTEXT, SegCs) / 8;
    const u64 *words = (const u64 *)(stack & ~7ull);
    for (u64 i = 0, all = stack_words(stack); i < all; i++) {
        if (!in_ranges(words[i], ranges, count))
            continue;
        if (i + 1 < all && (words[i + 1] & 0xFFFF) == CODE_SELECTOR)
            return words[i];
        if (i >= rip && (u64)(words + i - rip) % 16 == 0 && (words[i - rip + selectors] & 0xFFFF) == CODE_SELECTOR)
            return words[i];
    }
    return 0;
}

static void stop(struct crowd *crowd)
{
    for (u32 i = 0; i < crowd->count; i++) {
        crowd->stopped[i] = 0;
        u32 id = GetThreadId(crowd->threads[i]);
        if (id == GetCurrentThreadId())
            continue;
        // One of them may be ending the process, and end this thread before it is resumed: the courier reads this.
        hpagent_journal.stopped[i] = id;
        u64 now = ticks();
        if (SuspendThread(crowd->threads[i]) != (DWORD)-1) // else it has ended
            crowd->stopped[i] = now;
    }
}

// Where one of the threads is, if it is inside of a range; 0 when none is.
static u64 inside_of(const struct crowd *crowd, const struct range *ranges, u32 count)
{
    for (u32 i = 0; i < crowd->count; i++) {
        CONTEXT context;
        context.ContextFlags = CONTEXT_CONTROL;
        if (!crowd->stopped[i] || !GetThreadContext(crowd->threads[i], &context))
            continue;
        u64 found = in_ranges(context.Rip, ranges, count) ? context.Rip : returning_to(context.Rsp, ranges, count);
        if (found)
            return found;
    }
    return 0;
}

static void resume(struct command *command, struct crowd *crowd)
{
    for (u32 i = 0; i < crowd->count; i++) {
        if (!crowd->stopped[i])
            continue;
        ResumeThread(crowd->threads[i]);
        hpagent_journal.stopped[i] = 0;
        u64 ns = nanoseconds(ticks() - crowd->stopped[i]);
        stop_count(&command->looks.stops, command->looks.lengths, ns);
        stop_count(&hpagent_journal.looks, hpagent_journal.look_lengths, ns);
    }
}

// The threads that follow `last`, which stays open until its successor is known.
static u32 gather(struct crowd *crowd, HANDLE last)
{
    const ACCESS_MASK access = THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT | THREAD_QUERY_LIMITED_INFORMATION;
    HANDLE following, current = last;
    crowd->count = 0;
    while (crowd->count < TOGETHER && next(GetCurrentProcess(), current, access, 0, 0, &following) >= 0)
        crowd->threads[crowd->count++] = current = following;
    if (last)
        CloseHandle(last);
    return crowd->count;
}

static u64 look_at_all(struct command *command, const struct range *ranges, u32 count)
{
    struct crowd crowd;
    HANDLE last = 0;
    u64 inside = 0;
    while (gather(&crowd, last)) {
        stop(&crowd);
        inside = inside ? inside : inside_of(&crowd, ranges, count);
        resume(command, &crowd);
        for (u32 i = 0; i + 1 < crowd.count; i++)
            CloseHandle(crowd.threads[i]);
        last = crowd.threads[crowd.count - 1];
    }
    return inside;
}

int look_until_clear(struct command *command, const struct range *ranges, u32 count, u32 limit_ms, u64 *inside)
{
    u64 begun = ticks();
    if (!next)
        next = (next_thread)(void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtGetNextThread");
    for (u32 turn = 0;; turn++) {
        *inside = next ? look_at_all(command, ranges, count) : ranges->start;
        if (!*inside)
            return 1;
        if (!next || nanoseconds(ticks() - begun) / 1000000 >= limit_ms)
            return 0;
        if (turn < 8)
            SwitchToThread();
        else
            Sleep(turn < 32 ? 1 : 20); // it stays: stop the others less often
    }
}
