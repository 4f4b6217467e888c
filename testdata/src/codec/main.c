#include "codec.h"

IMPORTED int __stdcall DisableThreadLibraryCalls(void *module);

static int attached;

int __stdcall DllMain(void *module, u32 reason, void *reserved)
{
    (void)reserved;
    if (reason == 1) {
        attached = DisableThreadLibraryCalls(module);
        totals.calls = 0;
    }
    return 1;
}

API int codec_attached(void)
{
    return attached;
}
