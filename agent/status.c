// `status`: the journal as it lies in the process, read without running anything there.
#include "courier.h"

static struct journal copy;

// A copy during which the resident wrote nothing; after a while one that may be torn, which its phase tells.
static int copy_journal(const struct target *target, u64 address)
{
    for (u32 turn = 0; turn < 100; turn++) {
        u32 round;
        if (!remote_read(target, address, &copy, sizeof copy) ||
            !remote_read(target, address + __builtin_offsetof(struct journal, round), &round, sizeof round))
            return 0;
        if (round == copy.round && round % 2 == 0)
            return 1;
        Sleep(1);
    }
    return 1;
}

static void field(struct text *answer, const char *name, u64 value)
{
    put(answer, ",\"");
    put(answer, name);
    put(answer, "\":");
    put_number(answer, value);
}

static void words(struct text *answer, const char *name, const char *value, u32 room)
{
    char ended[513];
    text_copy(ended, room + 1 < sizeof ended ? room + 1 : sizeof ended, (const u8 *)value, room);
    put(answer, ",\"");
    put(answer, name);
    put(answer, "\":");
    put_json(answer, ended);
}

static void address(struct text *answer, const char *name, u64 value)
{
    put(answer, ",\"");
    put(answer, name);
    put(answer, "\":\"");
    put_hex(answer, value);
    put(answer, "\"");
}

static void packages(struct text *answer)
{
    put(answer, ",\"packages\":[");
    for (u32 i = 0; i < copy.packages; i++) {
        struct journal_package *package = copy.package + i;
        put(answer, i ? ",{\"index\":" : "{\"index\":");
        put_number(answer, i);
        words(answer, "id", package->id, sizeof package->id);
        words(answer, "product", package->product, sizeof package->product);
        field(answer, "sequence", package->sequence);
        put(answer, ",\"sha256\":\"");
        put_bytes(answer, package->sha256, sizeof package->sha256);
        put(answer, "\"}");
    }
    put(answer, "],\"modules\":[");
    for (u32 i = 0; i < copy.modules; i++) {
        struct journal_module *module = copy.module + i;
        put(answer, i ? ",{\"package\":" : "{\"package\":");
        put_number(answer, module->package);
        words(answer, "name", module->name, sizeof module->name);
        address(answer, "base", module->base);
        address(answer, "block", module->block);
        field(answer, "size", module->block_size);
        field(answer, "delta", module->delta);
        field(answer, "redirections", module->redirections);
        put(answer, "}");
    }
    put(answer, "]");
}

static void stops(struct text *answer, const char *name, const struct stops *stops, const u32 *lengths)
{
    struct tally tally = {*stops, {0}};
    memcpy(tally.lengths, lengths, sizeof tally.lengths);
    put(answer, ",\"");
    put(answer, name);
    put(answer, "\":{\"count\":");
    put_number(answer, stops->count);
    field(answer, "longest_ns", stops->longest_ns);
    field(answer, "median_ns", tally_median(&tally));
    put(answer, "}");
}

void report_status(struct target *target, struct text *answer, struct failure *failure)
{
    static const char *const phases[] = {"idle", "preparing", "writing", "undoing"};
    int there = resident_find(target, failure);
    if (!WaitForSingleObject(target->process, 0)) {
        put(fail(failure, "process-gone", "", ""), "it has ended");
        return;
    }
    if (!there && !failure->slug)
        put(answer, "{\"ok\":true,\"result\":\"status\",\"resident\":false,\"phase\":\"idle\",\"packages\":[],"
                    "\"modules\":[]}");
    if (!there)
        return;
    if (!copy_journal(target, target->journal) || memcmp(copy.magic, "HPJOURNL", sizeof copy.magic) ||
        copy.version != JOURNAL_VERSION || copy.packages > JOURNAL_PACKAGES || copy.modules > JOURNAL_MODULES ||
        copy.phase > UNDOING) {
        put(fail(failure, "injection-failed", "", ""), "the journal in the process cannot be read");
        return;
    }
    put(answer, "{\"ok\":true,\"result\":\"status\",\"resident\":true,\"phase\":\"");
    put(answer, phases[copy.phase]);
    put(answer, "\"");
    words(answer, "detail", copy.pending, sizeof copy.pending);
    packages(answer);
    stops(answer, "waits", &copy.waits, copy.wait_lengths);
    stops(answer, "looks", &copy.looks, copy.look_lengths);
    field(answer, "commands", copy.commands);
    put(answer, "}");
}
