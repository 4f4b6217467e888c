// The vectored handler: threads that come to a page while it is being written wait here, threads that meet an int3 of
// ours are led on. It runs in any thread, at any point, with any lock held: so it takes none and allocates nothing.
#include "resident.h"

typedef LONG(NTAPI *nt_protect)(HANDLE, void **, SIZE_T *, ULONG, ULONG *);
typedef LONG(NTAPI *nt_yield)(void);
enum { EXECUTE = 8, SPINS = 32, PATIENCE = 1 << 14, BREAKPOINT = 0xCC };

// Pages being written: the first one's address, their number in the bits below. One word, so that it is read whole.
static volatile u64 flipping;
static u64 flip_size;
static volatile u32 flip_thread;
static HANDLE volatile flip_owner; // the same thread, to see whether it lives
volatile u32 flip_broken; // the resident's own thread came through the page

static nt_protect direct_protect;
static nt_yield yield_now;
static void *registered;

static int in_flip(u64 address)
{
    u64 now = flipping, start = page_of(now);
    return now && address - start < (now & (PAGE - 1)) * PAGE;
}

int protect_directly(u64 start, u64 size, u32 protection)
{
    void *at = (void *)start;
    SIZE_T length = size;
    ULONG previous;
    return direct_protect && direct_protect(GetCurrentProcess(), &at, &length, protection, &previous) >= 0;
}

void flip_begin(u64 start, u64 size)
{
    flip_broken = 0;
    flip_size = size;
    flip_thread = GetCurrentThreadId();
    __atomic_store_n(&flipping, start | size / PAGE, __ATOMIC_SEQ_CST);
}

void flip_end(void) { __atomic_store_n(&flipping, 0, __ATOMIC_SEQ_CST); }

// The process is ending and has ended the resident's thread in the middle of a flip: nobody else will undo it.
static void flip_orphaned(void)
{
    u64 now = flipping;
    if (now && !WaitForSingleObject(flip_owner, 0) &&
        protect_directly(page_of(now), (now & (PAGE - 1)) * PAGE, PAGE_EXECUTE_READ))
        flip_end();
}

static void wait_for(u64 address)
{
    u64 begun = ticks();
    for (u32 turn = 0; in_flip(address); turn++) {
        if (turn < SPINS)
            __builtin_ia32_pause();
        else
            yield_now();
        if (turn % PATIENCE == PATIENCE - 1)
            flip_orphaned();
    }
    stop_count(&hpagent_journal.waits, hpagent_journal.wait_lengths, nanoseconds(ticks() - begun));
}

static int executable(u64 address)
{
    MEMORY_BASIC_INFORMATION region;
    return VirtualQuery((void *)address, &region, sizeof region) && region.State == MEM_COMMIT &&
           region.Protect & (PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY);
}

static const struct patched *module_at(u64 address)
{
    for (struct package *package = packages; package; package = package->next)
        for (u32 i = 0; i < package->module_count; i++)
            if (!package->modules[i].gone && address - package->modules[i].base < package->modules[i].size_of_image)
                return package->modules + i;
    return 0;
}

// The window whose entry, or whose pad, is at `address`; one that leads rather than one that does not.
static struct window *window_at(u64 address, u64 *base)
{
    struct window *found = 0;
    for (struct package *package = packages; package; package = package->next)
        for (u32 i = 0; i < package->module_count; i++) {
            const struct patched *module = package->modules + i;
            u64 rva = address - module->base;
            if (module->gone || rva >= module->size_of_image)
                continue;
            struct window *window = window_at_entry(module, (u32)rva);
            if (!window)
                window = window_at_entry(module, (u32)rva + PAD_SIZE);
            if (window && (window->entry == rva || window->kind == PAD_JUMP) && (!found || window->leading)) {
                found = window;
                *base = module->base;
            }
        }
    return found;
}

// A thread on its way from an entry to its pad: the entry decides anew, old or new.
static void leave_pad(CONTEXT *context)
{
    u64 base = 0;
    const struct window *window = window_at(context->Rip, &base);
    if (window && context->Rip < base + window->entry)
        context->Rip = base + window->entry;
}

static LONG execute_fault(u64 address, CONTEXT *context)
{
    if (in_flip(address) && GetCurrentThreadId() == flip_thread) {
        // A hook on VirtualProtect leads through the very page: nobody else will make it executable.
        flip_broken = 1;
        u64 start = page_of(flipping), size = flip_size;
        return protect_directly(start, size, PAGE_EXECUTE_READ) ? EXCEPTION_CONTINUE_EXECUTION
                                                                : EXCEPTION_CONTINUE_SEARCH;
    }
    if (!module_at(address))
        return EXCEPTION_CONTINUE_SEARCH;
    wait_for(address);
    if (!executable(address))
        return in_flip(address) ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
    leave_pad(context);
    return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG breakpoint(u64 address, CONTEXT *context)
{
    u64 base = 0;
    struct window *window = window_at(address, &base);
    if (!window)
        return EXCEPTION_CONTINUE_SEARCH;
    u64 entry = base + window->entry;
    if (address == entry) {
        for (;;) {
            if (in_flip(address))
                wait_for(address);
            if (window->leading) {
                context->Rip = window->destination;
                return EXCEPTION_CONTINUE_EXECUTION;
            }
            // `leading` ends after the last byte is in place: what stands here now is for good, or a new flip.
            if (*(volatile u8 *)address != BREAKPOINT)
                break;
            if (!in_flip(address) && !window->leading && *(volatile u8 *)address == BREAKPOINT)
                return EXCEPTION_CONTINUE_SEARCH; // not ours: a debugger's, or the program's own
        }
    } else if (*(volatile u8 *)address == 0xE9) {
        entry = address;
    }
    context->Rip = entry;
    return EXCEPTION_CONTINUE_EXECUTION;
}

static LONG NTAPI handler(EXCEPTION_POINTERS *pointers)
{
    const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    LONG verdict = EXCEPTION_CONTINUE_SEARCH;
    __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
    if (record->ExceptionCode == (DWORD)EXCEPTION_ACCESS_VIOLATION && record->NumberParameters >= 2 &&
        record->ExceptionInformation[0] == EXECUTE)
        verdict = execute_fault(record->ExceptionInformation[1], pointers->ContextRecord);
    else if (record->ExceptionCode == (DWORD)EXCEPTION_BREAKPOINT)
        verdict = breakpoint((u64)record->ExceptionAddress, pointers->ContextRecord);
    __atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
    return verdict;
}

// Makes the handler the first of all, which others may have become since the last command. A thread in it at this
// moment is not disturbed: the system keeps an entry until it is left, and this code stays loaded.
int handler_ready(void)
{
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    direct_protect = (nt_protect)(void *)GetProcAddress(ntdll, "NtProtectVirtualMemory");
    yield_now = (nt_yield)(void *)GetProcAddress(ntdll, "NtYieldExecution");
    HANDLE owner = 0, former = flip_owner;
    if (!DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(), &owner, SYNCHRONIZE, FALSE, 0))
        return 0;
    flip_owner = owner;
    if (former)
        CloseHandle(former);
    void *before = registered, *now = yield_now ? AddVectoredExceptionHandler(1, handler) : 0;
    if (!now)
        return 0;
    registered = now;
    if (before)
        RemoveVectoredExceptionHandler(before);
    return 1;
}
