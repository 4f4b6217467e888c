// Times in buckets: single nanoseconds below 8, then eight buckets for each power of two.
#include "journal.h"

u32 bucket_of(u64 ns)
{
    if (ns < 8)
        return (u32)ns;
    u32 power = 63 - (u32)__builtin_clzll(ns);
    u32 bucket = 8 * (power - 2) + (u32)(ns >> (power - 3) & 7);
    return bucket < JOURNAL_BUCKETS ? bucket : JOURNAL_BUCKETS - 1;
}

u64 bucket_end(u32 bucket)
{
    if (bucket < 8)
        return bucket;
    return ((u64)(8 + bucket % 8 + 1) << (bucket / 8 - 1)) - 1;
}

u64 tally_median(const struct tally *tally)
{
    u64 all = 0, seen = 0;
    for (u32 i = 0; i < JOURNAL_BUCKETS; i++)
        all += tally->lengths[i];
    for (u32 i = 0; i < JOURNAL_BUCKETS; i++) {
        seen += tally->lengths[i];
        if (all && 2 * seen >= all)
            return bucket_end(i) < tally->stops.longest_ns ? bucket_end(i) : tally->stops.longest_ns;
    }
    return 0;
}
