// A global object with a constructor: its address goes into the list of initialisers.

typedef unsigned int u32;

extern "C" __declspec(dllexport) u32 snare_limit(void);
extern "C" __declspec(dllimport) u32 __stdcall GetCurrentThreadId(void);

namespace {

struct gauge {
    u32 low, high;

    explicit gauge(u32 step)
        : low(GetCurrentThreadId()), high(low + step)
    {
    }
};

gauge pressure(40);

}

extern "C" __declspec(dllexport) u32 snare_gauge(u32 value)
{
    return value < pressure.low ? pressure.low : value;
}
