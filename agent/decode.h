// Where instructions begin in the few bytes at an entry.
#pragma once
#include "base.h"

struct borders {
    u32 starts;  // bit n: an instruction begins n bytes behind the entry (0 < n < size)
    u32 returns; // bit n: a call ends there
    int known;   // 0: something did not decode; the other fields say nothing
};

enum { LONGEST_INSTRUCTION = 16 }; // bytes that one look may read

struct borders borders_of(const u8 *code, u32 size);
u32 instruction_length(const u8 *code); // of x64 code, 0 for what is none; reads at most 15 bytes
