/* A few functions, each there for one variant: see the patches in variants/. */

typedef unsigned int u32;
typedef unsigned long long u64;

#define API __declspec(dllexport)
#define NOINLINE __attribute__((noinline))

__declspec(dllimport) void __stdcall OutputDebugStringA(const char *text);
__declspec(dllimport) u32 __stdcall GetCurrentThreadId(void);

/* Thread-local storage without a C runtime: index, template and directory. */
u32 _tls_index;
__attribute__((section(".tls"))) char tls_start = 0;
__attribute__((section(".tls$ZZZ"))) char tls_end = 0;
struct tls_directory {
    const void *start, *end, *index, *callbacks;
    u32 zero_fill, characteristics;
};
const struct tls_directory _tls_used = { &tls_start, &tls_end, &_tls_index, 0, 0, 0 };

static __declspec(thread) int depth = 3;
static __declspec(thread) int budget = 1000;

static const u32 weights[8] = { 3, 1, 4, 1, 5, 9, 2, 6 };
static int threshold = 40;
static int events;

struct reading {
    u32 channel;
    int value;
};

API int gadget_threshold(void)
{
    return threshold;
}

API void gadget_set_threshold(int value)
{
    threshold = value;
}

API u32 gadget_weigh(const unsigned char *input, u32 length)
{
    u32 sum = 0;
    for (u32 i = 0; i < length; i++)
        sum += weights[input[i] & 7] * input[i];
    return sum;
}

API int gadget_enter(int cost)
{
    depth++;
    budget -= cost;
    return budget;
}

API int gadget_depth(void)
{
    return depth;
}

NOINLINE static int scaled(int value)
{
    return value * 7 / 3;
}

API int gadget_measure(const struct reading *reading, u32 count)
{
    int sum = 0;
    for (u32 i = 0; i < count; i++)
        sum += scaled(reading[i].value);
    return sum > threshold ? sum : threshold;
}

/* What the patches do above leaves the numbers of these lines alone; only line_only changes them. */
#line 100
NOINLINE static void failed(int line)
{
    events += line;
    OutputDebugStringA("gadget: failed");
}

API u32 gadget_report(int status)
{
    if (status < 0)
        failed(__LINE__);
    return GetCurrentThreadId() + (u32)status;
}

/* Two functions of the same bytes. */
API int gadget_lower_left(int value)
{
    return value < threshold ? value : threshold - 1;
}

API int gadget_lower_right(int value)
{
    return value < threshold ? value : threshold - 1;
}

int __stdcall DllMain(void *module, u32 reason, void *reserved)
{
    (void)module;
    (void)reserved;
    if (reason == 1)
        events = 0;
    return 1;
}
