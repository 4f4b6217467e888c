// What the parts of the resident share. One command is at work at a time; its thread is `the resident's thread`.
#pragma once
#include "base.h"
#include "journal.h"
#include "order.h"

enum { WINDOW_ROOM = 8, REGION_ROOM = 16, SECTIONS = 16 };

// ---- what is in the process, package by package; never freed once threads can have met it

// The bytes at one entry. `leading` is set while an int3 stands there: who meets it is sent to `destination`.
struct window {
    u32 start, entry, size, kind;
    u8 old[WINDOW_ROOM], new[WINDOW_ROOM]; // `new` for the real place of the patch image
    u64 destination;
    const char *function;
    volatile u32 leading;
};

struct section {
    u32 rva, size, raw, raw_size, protection;
};

struct layout {
    struct section sections[SECTIONS];
    u32 count, table_rva, table_size; // the exception directory
};

// A module of a package: where it is loaded, where its new code lies, its windows ascending by start.
struct patched {
    HMODULE held; // reference while the package is active
    u64 base, block, delta;
    u32 time_date_stamp, checksum, size_of_image, nominal_start, size, gone;
    struct layout layout;
    struct window *windows;
    u32 window_count;
    char name[NAME_ROOM];
};

enum { INACTIVE, ACTIVE };

struct package {
    struct package *next;
    char id[ID_ROOM], product[ORDER_TEXT + 1];
    u8 sha256[32];
    u32 sequence, state, module_count;
    struct patched modules[];
};

extern struct package *volatile packages;
extern volatile i32 readers; // threads that are walking `packages` in the handler

struct window *window_at_entry(const struct patched *module, u32 entry);
const struct window *window_holding(const struct patched *module, u32 rva);
struct package *package_build(const struct order *order, const u64 *bases, struct failure *failure);
struct package *package_known(const struct order *order, const u64 *bases);
struct package *package_active(const char *product);
struct package *package_of(u64 address); // whose block holds it
void package_publish(struct package *package);
void package_discard(struct package *package); // one that no thread was led to

// ---- one command

struct command {
    struct failure failure;
    struct order order;
    void *scratch; // chain of memory that ends with the command
    struct tally waits, looks;
    u64 begun, commit_ticks;
    u32 flips, touched; // `touched`: a byte of a module was written
    const char *result;
    struct package *subjects[JOURNAL_PACKAGES];
    u32 subject_count;
    HMODULE releases[2 * JOURNAL_MODULES]; // references to be given back when all is done: that may wait for a lock
    u32 release_count;
};

void *scratch(struct command *command, u64 size); // zero-filled; 0 with `bad-order` when there is none
void scratch_end(struct command *command);

// ---- checks (memory.c, compare.c, hooks.c)

int readable(u64 address, u64 size);
HMODULE module_find(const struct order *order, const struct wire_module *module, struct failure *failure);
int module_pinned(u64 base, const struct wire_module *module, const char *name, struct failure *failure);
int module_loaded(const struct patched *module);
int module_expected(const struct order *order, const struct wire_module *wire, const struct patched *module,
                    const struct patched *overlay, struct failure *failure);
int windows_original(const struct patched *module, const struct patched *overlay, struct failure *failure);
int windows_ours(const struct patched *module, struct failure *failure);
int report_foreign(const struct patched *module, const struct window *window, struct failure *failure);

// ---- placing (place.c, unwind.c)

int layout_read(const struct order *order, const struct wire_module *wire, struct layout *layout, const char *name,
                struct failure *failure);
int image_place(const struct order *order, const struct wire_module *wire, const struct patched *module, u8 *to,
                struct failure *failure);
int block_make(const struct order *order, const struct wire_module *wire, struct patched *module, u8 *placed,
               struct failure *failure);
int block_same(const struct patched *module, const u8 *placed, struct failure *failure);
void block_free(struct patched *module);
int call_targets_enforced(void);
int unwind_add(const struct package *added, u64 base, struct failure *failure);
void unwind_remove(const struct package *removed, u64 base);
void unwind_forget(u64 base);

// ---- writing (plan.c, write.c, look.c, handler.c)

enum mode { AT_ONCE, GUARDED, ENTRY_FIRST };
enum progress { UNTOUCHED, HALF, WRITTEN };

// Bytes to be written around one entry. GUARDED: an int3 first, and the rest once no thread is inside.
// ENTRY_FIRST: the entry, and the bytes before it once no thread is on its way through them.
struct write {
    u64 address;
    u32 size, entry; // `entry`: offset of the entry in the bytes
    u8 before[REGION_ROOM], after[REGION_ROOM];
    enum mode mode;
    enum progress progress;
    struct window *window; // for messages; of GUARDED ones, where threads are led
    const struct patched *module;
};

struct plan {
    struct write *writes;
    u32 count, room;
    u32 window_limit_ms;
};

// From what `from` (or the baseline) has written to what `to` (or the baseline) writes.
int plan_package(struct command *command, struct plan *plan, const struct package *from, const struct package *to);
int plan_commit(struct command *command, struct plan *plan); // all, or nothing
int handler_ready(void);
int protect_directly(u64 start, u64 size, u32 protection);
void flip_begin(u64 start, u64 size);
void flip_end(void);
extern volatile u32 flip_broken;

struct range {
    u64 start, end;
};

// Waits until no thread's instruction pointer is in one of the ascending ranges; 0: `inside` is where one stays.
int look_until_clear(struct command *command, const struct range *ranges, u32 count, u32 limit_ms, u64 *inside);

extern __declspec(dllexport) struct journal hpagent_journal;
void journal_begin(void);
void journal_phase(enum phase phase, const char *pending);
void journal_write(const struct failure *failure);
void stop_count(struct stops *stops, u32 *lengths, u64 ns);
void answer(struct text *text, const struct command *command);
