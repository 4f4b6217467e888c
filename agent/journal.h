// The exported journal (hpbuild/apply/live/journal.py describes the layout and reads it), and the measures in it.
#pragma once
#include "base.h"

enum { JOURNAL_VERSION = 1, JOURNAL_STOPPED = 16, JOURNAL_PACKAGES = 16, JOURNAL_MODULES = 256, JOURNAL_BUCKETS = 352 };
enum phase { IDLE, PREPARING, WRITING, UNDOING };

struct stops {
    u64 count, longest_ns, sum_ns;
};

struct journal_package {
    char id[128], product[256];
    u8 sha256[32];
    u32 sequence, first_module, modules;
    u8 zero[84];
};

struct journal_module {
    u32 package, redirections;
    char name[128];
    u64 base, block, block_size, delta;
    u8 zero[24];
};

struct journal {
    char magic[8];
    u32 version, header_size, round, phase, packages, modules;
    u64 commands;
    u32 protocol, zero;
    struct stops waits, looks;
    char pending[128], error[32], error_module[128], error_function[256], error_detail[512];
    u32 wait_lengths[JOURNAL_BUCKETS], look_lengths[JOURNAL_BUCKETS];
    u32 stopped[JOURNAL_STOPPED]; // ids of threads that are stopped for a look, 0 where none is
    u8 rest[4096 - 2560 - 4 * JOURNAL_BUCKETS - 4 * JOURNAL_STOPPED];
    struct journal_package package[JOURNAL_PACKAGES];
    struct journal_module module[JOURNAL_MODULES];
};

_Static_assert(sizeof(struct stops) == 24, "as journal.py reads it");
_Static_assert(__builtin_offsetof(struct journal, pending) == 96, "as journal.py reads it");
_Static_assert(__builtin_offsetof(struct journal, wait_lengths) == 1152, "as journal.py reads it");
_Static_assert(__builtin_offsetof(struct journal, look_lengths) == 2560, "as journal.py reads it");
_Static_assert(__builtin_offsetof(struct journal, package) == 4096, "as journal.py reads it");
_Static_assert(__builtin_offsetof(struct journal, module) == 12288, "as journal.py reads it");
_Static_assert(sizeof(struct journal) == 61440, "as journal.py reads it");

// The longest stop and the counts of one command, kept apart from those of the process's life.
struct tally {
    struct stops stops;
    u32 lengths[JOURNAL_BUCKETS];
};

u32 bucket_of(u64 ns);
u64 bucket_end(u32 bucket); // largest time that the bucket counts
u64 tally_median(const struct tally *tally);
