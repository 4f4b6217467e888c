// Questions about the memory of this process.
#include "resident.h"

int readable(u64 address, u64 size)
{
    for (u64 at = address, end = address + size; at < end;) {
        MEMORY_BASIC_INFORMATION region;
        if (end < address || !VirtualQuery((void *)at, &region, sizeof region) || region.State != MEM_COMMIT ||
            region.Protect & (PAGE_NOACCESS | PAGE_GUARD) || (region.Protect & 0xFF) == PAGE_EXECUTE)
            return 0;
        at = (u64)region.BaseAddress + region.RegionSize;
    }
    return 1;
}
