// What the parts of the courier share.
#pragma once
#include "base.h"
#include "journal.h"

struct target {
    u32 pid, limit_ms;
    HANDLE process;
    u64 journal, procedure; // of hpagent.dll there, which is never unloaded; 0 as long as they are not known
};

u64 remote_module(const struct target *target, const WCHAR *name);
u64 remote_export(const struct target *target, u64 base, const char *name);
int remote_read(const struct target *target, u64 address, void *to, u64 size);
int target_ends(const struct target *target);
int resident_find(struct target *target, struct failure *failure);
int resident_load(struct target *target, struct failure *failure);
void report_status(struct target *target, struct text *answer, struct failure *failure);
