/* A small library with what a C runtime does at its start: every function is there for one trap, see the
 * patches in traps/. */

typedef unsigned int u32;
typedef unsigned long long u64;
typedef void(*initialiser)(void);

#define API __declspec(dllexport)
#define NOINLINE __attribute__((noinline))
#define IN(name) __attribute__((section(name), used))

__declspec(dllimport) void __stdcall OutputDebugStringA(const char *text);
__declspec(dllimport) u32 __stdcall GetCurrentThreadId(void);
__declspec(dllimport) u32 __stdcall GetCurrentProcessId(void);

extern const initialiser __xc_a[], __xc_z[];

#pragma comment(linker, "/export:snare_alias=snare_mix,@40")
#pragma comment(linker, "/export:snare_numbered=snare_who,@50")
#pragma comment(linker, "/export:snare_thread=kernel32.GetCurrentThreadId")

/* Thread-local storage without a C runtime. */
typedef void(__stdcall *callback)(void *module, u32 reason, void *reserved);
u32 _tls_index;
IN(".tls") char tls_start = 0;
IN(".tls$ZZZ") char tls_end = 0;
static void __stdcall on_thread(void *module, u32 reason, void *reserved);
IN(".CRT$XLB") const callback first_callback = on_thread;
IN(".CRT$XLZ") const callback last_callback = 0;
struct tls_directory {
    const void *start, *end, *index, *callbacks;
    u32 zero_fill, characteristics;
};
const struct tls_directory _tls_used = { &tls_start, &tls_end, &_tls_index, &first_callback, 0, 0 };
static __declspec(thread) u32 visits = 0;
static __declspec(thread) u32 errors = 0;

static u32 level;
static u32 limit;
static volatile u32 requests;
static volatile u32 handled;

NOINLINE static void set_level(u32 value)
{
    level = value * 3 + GetCurrentThreadId();
}

NOINLINE static void set_limit(u32 value)
{
    limit = value * 5 + 7;
}

static void __stdcall on_thread(void *module, u32 reason, void *reserved)
{
    (void)module;
    (void)reserved;
    if (reason == 2)
        set_limit(reason);
}

API u32 snare_limit(void)
{
    return limit;
}

API void snare_reset(u32 value)
{
    set_limit(value + 1);
}

API u32 snare_level(void)
{
    return level;
}

/* The main function of a thread: it never returns. */
API u32 __stdcall snare_worker(void *unused)
{
    (void)unused;
    for (;;) {
        if (requests != handled) {
            handled = handled + 1;
            OutputDebugStringA("snare: request");
        }
    }
}

/* The same with a way out. */
API u32 __stdcall snare_helper(void *unused)
{
    (void)unused;
    while (requests != 0xffffffff) {
        if (requests != handled) {
            handled = handled + 1;
            OutputDebugStringA("snare: helped");
        }
    }
    return handled;
}

API u32 snare_visit(void)
{
    return ++visits;
}

API u32 snare_fail(u32 by)
{
    errors += by;
    return errors;
}

/* Two functions that are not quite the same, and one that is in no hurry. */
API u32 snare_inner(u32 value)
{
    return value * 9 > limit ? value : limit - 2;
}

API u32 snare_outer(u32 value)
{
    return value * 9 > limit ? value : limit - 3;
}

NOINLINE static u32 mixed(u32 value)
{
    return (value ^ level) * 2654435761u;
}

API u32 snare_mix(u32 value)
{
    return mixed(value) >> 7;
}

API u32 snare_who(u32 process)
{
    return process ? GetCurrentProcessId() : GetCurrentThreadId();
}

/* A thread-local variable that starts with an address. */
static __declspec(thread) u32 (*way)(u32) = snare_inner;

API void snare_turn(void)
{
    way = snare_outer;
}

API u32 snare_go(u32 value)
{
    return way(value) + 1;
}

int __stdcall DllMain(void *module, u32 reason, void *reserved)
{
    (void)module;
    (void)reserved;
    if (reason == 1) {
        for (const initialiser *next = __xc_a; next < __xc_z; next++)
            if (*next)
                (*next)();
        set_level(reason);
        set_limit(reason);
    }
    return 1;
}
