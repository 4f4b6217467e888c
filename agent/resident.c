// The resident: takes one command at a time from a section, and does it inside the process. It was loaded for the life
// of the process; whether anybody still waits for the answer makes no difference to what it does.
#include "mailbox.h"
#include "resident.h"
#include "sha256.h"

static volatile i32 at_work;

// Records of modules that were unloaded: nothing is led through them any more, and their unwind tables go.
static void forget_unloaded(void)
{
    for (struct package *package = packages; package; package = package->next)
        for (u32 i = 0; i < package->module_count; i++) {
            struct patched *module = package->modules + i;
            if (module->gone || package->state == ACTIVE || module_loaded(module))
                continue;
            module->gone = 1;
            unwind_forget(module->base);
        }
}

static void release_later(struct command *command, HMODULE module)
{
    if (module && command->release_count < sizeof command->releases / sizeof *command->releases)
        command->releases[command->release_count++] = module;
}

static void deactivate(struct command *command, struct package *package)
{
    package->state = INACTIVE;
    for (u32 i = 0; i < package->module_count; i++) {
        release_later(command, package->modules[i].held);
        package->modules[i].held = 0;
    }
}

static int image_genuine(const struct order *order, const struct wire_module *wire, struct failure *failure)
{
    u8 digest[32];
    char name[NAME_ROOM];
    sha256(order_at(order, wire->image.offset), wire->image.size, digest);
    if (!memcmp(digest, wire->sha256, sizeof digest))
        return 1;
    order_name(order, wire->name, name, sizeof name);
    struct text *why = fail(failure, "image-hash", name, "");
    put(why, "SHA-256 ");
    put_bytes(why, digest, sizeof digest);
    put(why, ", ordered ");
    put_bytes(why, wire->sha256, sizeof digest);
    return 0;
}

// Finds every module of the order and takes references; `bases` are filled as far as it came.
static int modules_find(struct command *command, u64 *bases)
{
    for (u32 i = 0; i < command->order.module_count; i++) {
        const struct wire_module *wire = command->order.modules + i;
        char name[NAME_ROOM];
        order_name(&command->order, wire->name, name, sizeof name);
        if (!image_genuine(&command->order, wire, &command->failure))
            return 0;
        bases[i] = (u64)module_find(&command->order, wire, &command->failure);
        if (!bases[i] || !module_pinned(bases[i], wire, name, &command->failure))
            return 0;
        for (u32 k = 0; k < i; k++)
            if (bases[k] == bases[i])
                return put(fail(&command->failure, "bad-order", name, ""), "it is listed twice"), 0;
    }
    return 1;
}

static int check_sequence(struct command *command, const struct package *active)
{
    u32 wanted = command->order.header->sequence;
    if (!active || wanted > active->sequence)
        return 1;
    struct text *why = fail(&command->failure, "older-sequence", "", "");
    put(why, active->id);
    put(why, " has sequence ");
    put_number(why, active->sequence);
    put(why, ", this package ");
    put_number(why, wanted);
    return 0;
}

static const struct patched *overlay_of(const struct package *active, u64 base)
{
    for (u32 i = 0; active && i < active->module_count; i++)
        if (active->modules[i].base == base)
            return active->modules + i;
    return 0;
}

// Compares the modules with the order, where the active package's jumps count as what they replaced.
static int modules_check(struct command *command, const struct package *package, const struct package *active)
{
    for (u32 i = 0; i < package->module_count; i++) {
        const struct patched *module = package->modules + i, *overlay = overlay_of(active, module->base);
        if (!windows_original(module, overlay, &command->failure) ||
            !module_expected(&command->order, command->order.modules + i, module, overlay, &command->failure))
            return 0;
    }
    return 1;
}

static int package_intact(struct command *command, const struct package *package)
{
    for (u32 i = 0; i < package->module_count; i++)
        if (!windows_ours(package->modules + i, &command->failure))
            return 0;
    return 1;
}

// The blocks of a package that was here before still hold its code.
static int blocks_intact(struct command *command, const struct package *package)
{
    for (u32 i = 0; i < package->module_count; i++) {
        const struct patched *module = package->modules + i;
        u8 *placed = scratch(command, module->size);
        if (!placed ||
            !image_place(&command->order, command->order.modules + i, module, placed, &command->failure) ||
            !block_same(module, placed, &command->failure))
            return 0;
    }
    return 1;
}

static int blocks_make(struct command *command, struct package *package)
{
    for (u32 i = 0; i < package->module_count; i++) {
        struct patched *module = package->modules + i;
        u8 *placed = scratch(command, module->size);
        if (!placed || !block_make(&command->order, command->order.modules + i, module, placed, &command->failure) ||
            !block_same(module, placed, &command->failure))
            return 0;
    }
    for (u32 i = 0; i < package->module_count; i++)
        if (!unwind_add(package, package->modules[i].base, &command->failure))
            return 0;
    return 1;
}

static int handler_first(struct command *command)
{
    if (handler_ready())
        return 1;
    put(fail(&command->failure, "protect-failed", "", ""), "AddVectoredExceptionHandler failed");
    return 0;
}

// From here on threads are led: whatever happens, `package` stays.
static int switch_over(struct command *command, struct package *active, struct package *package, u32 window_limit_ms)
{
    struct plan plan = {.window_limit_ms = window_limit_ms};
    if (!plan_package(command, &plan, active, package) || !handler_first(command))
        return 0;
    journal_phase(WRITING, 0);
    return plan_commit(command, &plan);
}

static int apply_new(struct command *command, struct package *active, struct package *known, const u64 *bases)
{
    struct package *package = known ? known : package_build(&command->order, bases, &command->failure);
    if (!package)
        return 0;
    int ready = modules_check(command, package, active) &&
                (known ? blocks_intact(command, package) : blocks_make(command, package));
    if (ready && !known)
        package_publish(package);
    if (!ready || !switch_over(command, active, package, command->order.header->window_limit_ms)) {
        if (!known && !command->touched)
            package_discard(package);
        return 0;
    }
    for (u32 i = 0; i < package->module_count; i++)
        package->modules[i].held = (HMODULE)bases[i];
    package->state = ACTIVE;
    if (active)
        deactivate(command, active);
    command->result = active ? "replaced" : "applied";
    command->subjects[command->subject_count++] = package;
    return 1;
}

// Whether the journal has room for the order beside what stays active.
static int journal_holds(const struct order *order, const struct package *replaced)
{
    u32 count = 1, modules = order->module_count;
    for (const struct package *package = packages; package; package = package->next)
        if (package->state == ACTIVE && package != replaced) {
            count++;
            modules += package->module_count;
        }
    return count <= JOURNAL_PACKAGES && modules <= JOURNAL_MODULES;
}

// Answers 1 when the references on the modules are now the package's.
static int apply_found(struct command *command, const u64 *bases)
{
    char product[ORDER_TEXT + 1];
    order_name(&command->order, command->order.header->product, product, sizeof product);
    struct package *active = package_active(product), *known = package_known(&command->order, bases);
    if (known && known == active) {
        if (package_intact(command, known) && blocks_intact(command, known)) {
            command->result = "already-applied";
            command->subjects[command->subject_count++] = known;
        }
        return 0;
    }
    if (!journal_holds(&command->order, active)) {
        put(fail(&command->failure, "no-room", "", ""), "the journal is full of active packages");
        return 0;
    }
    return check_sequence(command, active) && (!active || package_intact(command, active)) &&
           apply_new(command, active, known, bases);
}

static void apply(struct command *command, const u8 *body, u64 size)
{
    u64 bases[ORDER_MODULES];
    memset(bases, 0, sizeof bases);
    if (!order_read(&command->order, body, size, &command->failure))
        return;
    char id[ID_ROOM];
    order_name(&command->order, command->order.header->id, id, sizeof id);
    journal_phase(PREPARING, id);
    forget_unloaded();
    if (modules_find(command, bases) && apply_found(command, bases))
        return;
    for (u32 i = 0; i < command->order.module_count; i++)
        release_later(command, (HMODULE)bases[i]);
}

static void revert(struct command *command, const u8 *body, u64 size)
{
    char id[ID_ROOM];
    struct plan plan = {.window_limit_ms = 2000};
    text_copy(id, sizeof id, body, (u32)size);
    journal_phase(PREPARING, id);
    forget_unloaded();
    for (struct package *package = packages; package; package = package->next)
        if (package->state == ACTIVE && (text_same(id, "*") || text_same(id, package->id))) {
            if (!package_intact(command, package) || !plan_package(command, &plan, package, 0))
                return;
            command->subjects[command->subject_count++] = package;
        }
    if (!command->subject_count) {
        put(fail(&command->failure, "not-applied", "", ""), text_same(id, "*") ? "no package is active" : id);
        return;
    }
    if (!handler_first(command))
        return;
    journal_phase(WRITING, 0);
    if (!plan_commit(command, &plan))
        return;
    for (u32 i = 0; i < command->subject_count; i++)
        deactivate(command, command->subjects[i]);
    command->result = "reverted";
}

// What the journal counted during the command is the command's share.
static void waits_of(struct command *command, const struct tally *before)
{
    const struct stops *now = &hpagent_journal.waits;
    command->waits.stops.count = now->count - before->stops.count;
    for (u32 i = 0; i < JOURNAL_BUCKETS; i++) {
        command->waits.lengths[i] = hpagent_journal.wait_lengths[i] - before->lengths[i];
        if (command->waits.lengths[i])
            command->waits.stops.longest_ns = bucket_end(i) < now->longest_ns ? bucket_end(i) : now->longest_ns;
    }
}

static void carry_out(struct mailbox *box, struct command *command, u64 body_size)
{
    static struct tally before; // one command at a time
    u8 *body = scratch(command, body_size);
    if (body) {
        memcpy(body, box + 1, body_size);
        before.stops = hpagent_journal.waits;
        memcpy(before.lengths, hpagent_journal.wait_lengths, sizeof before.lengths);
        if (box->verb == APPLY)
            apply(command, body, body_size);
        else
            revert(command, body, body_size);
        waits_of(command, &before);
    }
    journal_write(&command->failure);
    struct text text = text_in(box->answer, sizeof box->answer);
    answer(&text, command);
    box->answer_size = text.used;
    scratch_end(command);
}

static void pin(void)
{
    HMODULE own;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                       (const WCHAR *)&hpagent_journal, &own);
}

static void refuse(struct mailbox *box, const char *slug, const char *detail)
{
    struct text text = text_in(box->answer, sizeof box->answer);
    put(&text, "{\"ok\":false,\"error\":");
    put_json(&text, slug);
    put(&text, ",\"resident\":true,\"detail\":");
    put_json(&text, detail);
    put(&text, "}");
    box->answer_size = text.used;
}

static void serve(struct mailbox *box, u64 room)
{
    static struct command command; // larger than a stack page; guarded by `at_work`
    u64 body_size = box->body_size;
    i32 pending = PENDING, free = 0;
    if (!__atomic_compare_exchange_n(&box->state, &pending, RUNNING, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    if (box->magic != MAILBOX_MAGIC || box->protocol != PROTOCOL || (box->verb != APPLY && box->verb != REVERT) ||
        body_size > BODY_LIMIT || body_size > room - MAILBOX_SIZE) {
        refuse(box, "bad-order", "the courier and the resident do not understand each other");
    } else if (!__atomic_compare_exchange_n(&at_work, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        refuse(box, "busy", hpagent_journal.pending);
    } else {
        memset(&command, 0, sizeof command);
        command.begun = ticks();
        pin();
        carry_out(box, &command, body_size);
        __atomic_store_n(&box->state, DONE, __ATOMIC_SEQ_CST);
        for (u32 i = 0; i < command.release_count; i++)
            FreeLibrary(command.releases[i]);
        __atomic_store_n(&at_work, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&box->state, DONE, __ATOMIC_SEQ_CST);
}

// Thread procedure of one command; its argument is the section's handle, which becomes this thread's to close.
__declspec(dllexport) DWORD WINAPI hpagent_command(void *section)
{
    MEMORY_BASIC_INFORMATION region;
    struct mailbox *box = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
    CloseHandle(section);
    if (!box)
        return 1;
    if (VirtualQuery(box, &region, sizeof region) && region.RegionSize >= MAILBOX_SIZE)
        serve(box, region.RegionSize);
    UnmapViewOfFile(box);
    return 0;
}

BOOL WINAPI DllMain(HINSTANCE own, DWORD reason, void *reserved)
{
    (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) {
        DisableThreadLibraryCalls(own);
        journal_begin();
    }
    return TRUE;
}
