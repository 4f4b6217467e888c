// What is said about a command: the answer in JSON (agent/README.md), and the journal.
#include "resident.h"

__declspec(dllexport) struct journal hpagent_journal;

// Not initialised in the file, which would be three times as large.
void journal_begin(void)
{
    hpagent_journal.version = JOURNAL_VERSION;
    hpagent_journal.header_size = __builtin_offsetof(struct journal, package);
    hpagent_journal.protocol = 1;
    memcpy(hpagent_journal.magic, "HPJOURNL", sizeof hpagent_journal.magic);
}

static void round_begin(void) { __atomic_add_fetch(&hpagent_journal.round, 1, __ATOMIC_SEQ_CST); }
static void round_end(void) { __atomic_add_fetch(&hpagent_journal.round, 1, __ATOMIC_SEQ_CST); }

static void keep(char *to, u32 room, const char *from)
{
    u32 length = text_length(from);
    memset(to, 0, room);
    memcpy(to, from, length < room ? length : room);
}

// Counts one stop. Called by any thread: every word by itself, without a lock.
void stop_count(struct stops *stops, u32 *lengths, u64 ns)
{
    __atomic_add_fetch(&stops->count, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&stops->sum_ns, ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&lengths[bucket_of(ns)], 1, __ATOMIC_RELAXED);
    u64 longest = stops->longest_ns;
    while (ns > longest && !__atomic_compare_exchange_n(&stops->longest_ns, &longest, ns, 0, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED))
        ;
}

void journal_phase(enum phase phase, const char *pending)
{
    round_begin();
    hpagent_journal.phase = phase;
    if (pending)
        keep(hpagent_journal.pending, sizeof hpagent_journal.pending, pending);
    round_end();
}

static void keep_module(const struct patched *module, u32 package)
{
    struct journal_module *to = hpagent_journal.module + hpagent_journal.modules++;
    *to = (struct journal_module){.package = package, .redirections = module->window_count, .base = module->base,
                                  .block = module->block, .block_size = module->size, .delta = module->delta};
    keep(to->name, sizeof to->name, module->name);
}

static void keep_package(const struct package *package)
{
    u32 index = hpagent_journal.packages++;
    struct journal_package *to = hpagent_journal.package + index;
    keep(to->id, sizeof to->id, package->id);
    keep(to->product, sizeof to->product, package->product);
    memcpy(to->sha256, package->sha256, sizeof to->sha256);
    to->sequence = package->sequence;
    to->first_module = hpagent_journal.modules;
    to->modules = package->module_count;
    for (u32 i = 0; i < package->module_count; i++)
        keep_module(package->modules + i, index);
}

// Which packages are active, and how the command ended.
void journal_write(const struct failure *failure)
{
    round_begin();
    hpagent_journal.phase = IDLE;
    hpagent_journal.packages = hpagent_journal.modules = 0;
    for (const struct package *package = packages; package; package = package->next)
        if (package->state == ACTIVE)
            keep_package(package);
    hpagent_journal.commands++;
    keep(hpagent_journal.pending, sizeof hpagent_journal.pending, "");
    keep(hpagent_journal.error, sizeof hpagent_journal.error, failure->slug ? failure->slug : "");
    keep(hpagent_journal.error_module, sizeof hpagent_journal.error_module, failure->slug ? failure->module : "");
    keep(hpagent_journal.error_function, sizeof hpagent_journal.error_function, failure->slug ? failure->function : "");
    keep(hpagent_journal.error_detail, sizeof hpagent_journal.error_detail, failure->slug ? failure->detail : "");
    round_end();
}

static void put_field(struct text *text, const char *name, u64 value)
{
    put(text, ",\"");
    put(text, name);
    put(text, "\":");
    put_number(text, value);
}

static void put_words(struct text *text, const char *name, const char *words)
{
    put(text, ",\"");
    put(text, name);
    put(text, "\":");
    put_json(text, words);
}

static void put_address(struct text *text, const char *name, u64 value)
{
    put(text, ",\"");
    put(text, name);
    put(text, "\":\"");
    put_hex(text, value);
    put(text, "\"");
}

static void put_stops(struct text *text, const char *name, const struct tally *tally)
{
    put(text, ",\"");
    put(text, name);
    put(text, "\":{\"count\":");
    put_number(text, tally->stops.count);
    put_field(text, "longest_ns", tally->stops.longest_ns);
    put_field(text, "median_ns", tally_median(tally));
    put(text, "}");
}

static void put_package(struct text *text, const struct package *package)
{
    put(text, "{\"id\":");
    put_json(text, package->id);
    put_words(text, "product", package->product);
    put_field(text, "sequence", package->sequence);
    put(text, ",\"sha256\":\"");
    put_bytes(text, package->sha256, sizeof package->sha256);
    put(text, "\"}");
}

static void put_module(struct text *text, const struct patched *module, u32 package)
{
    put(text, "{\"name\":");
    put_json(text, module->name);
    put_field(text, "package", package);
    put_address(text, "base", module->base);
    put_address(text, "block", module->block);
    put_field(text, "size", module->size);
    put_field(text, "delta", module->delta);
    put_field(text, "redirections", module->window_count);
    put(text, "}");
}

static void put_subjects(struct text *text, const struct command *command)
{
    put(text, ",\"packages\":[");
    for (u32 i = 0; i < command->subject_count; i++) {
        put(text, i ? "," : "");
        put_package(text, command->subjects[i]);
    }
    put(text, "],\"modules\":[");
    u32 listed = 0;
    for (u32 i = 0; i < command->subject_count; i++)
        for (u32 k = 0; k < command->subjects[i]->module_count; k++) {
            put(text, listed++ ? "," : "");
            put_module(text, command->subjects[i]->modules + k, i);
        }
    put(text, "]");
}

void answer(struct text *text, const struct command *command)
{
    if (command->failure.slug) {
        put(text, "{\"ok\":false");
        put_words(text, "error", command->failure.slug);
        put_words(text, "module", command->failure.module);
        put_words(text, "function", command->failure.function);
        put_words(text, "detail", command->failure.detail);
    } else {
        put(text, "{\"ok\":true");
        put_words(text, "result", command->result);
        put_subjects(text, command);
    }
    put(text, ",\"resident\":true");
    put_stops(text, "waits", &command->waits);
    put_stops(text, "looks", &command->looks);
    put_field(text, "flips", command->flips);
    put_field(text, "commit_ns", nanoseconds(command->commit_ticks));
    put_field(text, "total_ns", nanoseconds(ticks() - command->begun));
    put(text, "}");
}
