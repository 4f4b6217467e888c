#include "codec.h"

IMPORTED void __stdcall OutputDebugStringA(const char *text);
IMPORTED u32 __stdcall GetCurrentThreadId(void);

static int tracing = 1;
static u32 last_thread;

void trace(const char *text)
{
    if (!tracing)
        return;
    last_thread = GetCurrentThreadId();
    OutputDebugStringA(text);
}

API void codec_set_tracing(int on)
{
    tracing = on;
}

API u32 codec_trace_thread(void)
{
    return last_thread;
}

API const char *codec_status_text(int status)
{
    if (status >= 0)
        return "success";
    if (status == CODEC_TRUNCATED)
        return "input ends too early";
    if (status == CODEC_NO_SPACE)
        return "output buffer too small";
    if (status == CODEC_BAD_SYMBOL)
        return "symbol outside of the alphabet";
    return "unknown codec";
}
