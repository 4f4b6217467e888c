// hpagent.exe: carries commands to the resident in another process and its answers back. It may be killed at any
// moment: what the resident has begun it finishes by itself, what it has not begun never happens.
#include "courier.h"
#include "mailbox.h"

enum { LINE = 4096, ANSWER = MAILBOX_SIZE, DEFAULT_LIMIT = 30000 };

static char line[LINE], answer_room[ANSWER];
static struct failure failure;

// ---- one command for the resident

static void copy_answer(const struct mailbox *box, struct text *answer)
{
    u32 size = box->answer_size;
    for (u32 i = 0; i < size && i < sizeof box->answer; i++)
        if ((u8)box->answer[i] >= ' ') // one line it is to be
            put_char(answer, box->answer[i]);
}

// The resident's thread has ended without an answer, and the process has not: a thread that was ending it was stopped
// for a look, and ended the resident's thread before that let it go on.
static void resume_stopped(const struct target *target)
{
    u32 ids[JOURNAL_STOPPED];
    if (!remote_read(target, target->journal + __builtin_offsetof(struct journal, stopped), ids, sizeof ids))
        return;
    for (u32 i = 0; i < JOURNAL_STOPPED; i++) {
        HANDLE thread = ids[i] ? OpenThread(THREAD_SUSPEND_RESUME, FALSE, ids[i]) : 0;
        if (thread) {
            ResumeThread(thread);
            CloseHandle(thread);
        }
    }
}

static int ended_there(const struct target *target)
{
    if (target_ends(target))
        return 1;
    resume_stopped(target);
    return target_ends(target);
}

// Waits for the resident. A command that it has not begun within the limit is withdrawn.
static int wait_done(struct target *target, struct mailbox *box, HANDLE thread)
{
    HANDLE both[2] = {thread, target->process};
    u32 ended = WaitForMultipleObjects(2, both, FALSE, target->limit_ms);
    i32 pending = PENDING;
    if (box->state == DONE)
        return 1;
    if (ended != WAIT_TIMEOUT && ended_there(target))
        put(fail(&failure, "process-gone", "", ""), "while the command was at work");
    else if (__atomic_compare_exchange_n(&box->state, &pending, CANCELLED, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        put(fail(&failure, "cancelled", "", ""), "the process ran no thread for it to its end");
    else if (box->state == DONE)
        return 1;
    else
        put(fail(&failure, "timeout", "", ""), "it is still at work");
    return 0;
}

static int hand_over(struct target *target, struct mailbox *box, HANDLE section)
{
    HANDLE there = 0;
    if (!DuplicateHandle(GetCurrentProcess(), section, target->process, &there, 0, FALSE,
                                       DUPLICATE_SAME_ACCESS)) {
        put(fail(&failure, target_ends(target) ? "process-gone" : "injection-failed", "", ""),
            "the command could not be handed over");
        return 0;
    }
    HANDLE thread = CreateRemoteThread(target->process, 0, 0, (LPTHREAD_START_ROUTINE)target->procedure, there, 0, 0);
    if (!thread) {
        DuplicateHandle(target->process, there, 0, 0, 0, FALSE, DUPLICATE_CLOSE_SOURCE);
        put(fail(&failure, target_ends(target) ? "process-gone" : "injection-failed", "", ""),
            "no thread could be started there");
        return 0;
    }
    int done = wait_done(target, box, thread);
    CloseHandle(thread);
    return done;
}

static void send(struct target *target, u32 verb, const u8 *body, u64 size, struct text *answer)
{
    u64 room = MAILBOX_SIZE + size;
    HANDLE section =
        CreateFileMappingW(INVALID_HANDLE_VALUE, 0, PAGE_READWRITE, (DWORD)(room >> 32), (DWORD)room, 0);
    struct mailbox *box = section ? MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0) : 0;
    if (box) {
        box->magic = MAILBOX_MAGIC;
        box->protocol = PROTOCOL;
        box->verb = verb;
        box->body_size = size;
        memcpy(box + 1, body, size);
        if (hand_over(target, box, section))
            copy_answer(box, answer);
        UnmapViewOfFile(box);
    } else {
        put(fail(&failure, "injection-failed", "", ""), "no memory for the command");
    }
    if (section)
        CloseHandle(section);
}

// ---- commands

static void apply(struct target *target, const char *path, struct text *answer)
{
    WCHAR wide[LINE];
    LARGE_INTEGER size = {.QuadPart = 0};
    u32 got = 0;
    HANDLE file = INVALID_HANDLE_VALUE;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, LINE))
        file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, 0, OPEN_EXISTING, 0, 0);
    if (file == INVALID_HANDLE_VALUE || !GetFileSizeEx(file, &size) || size.QuadPart > BODY_LIMIT) {
        put(fail(&failure, "bad-order", "", ""), "the order's file cannot be opened, or is too large");
    } else {
        u8 *body = VirtualAlloc(0, (u64)size.QuadPart + 1, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (!body || !ReadFile(file, body, (DWORD)size.QuadPart, (DWORD *)&got, 0) || got != size.QuadPart)
            put(fail(&failure, "bad-order", "", ""), "the order's file cannot be read");
        else if (resident_load(target, &failure))
            send(target, APPLY, body, got, answer);
        if (body)
            VirtualFree(body, 0, MEM_RELEASE);
    }
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
}

static void revert(struct target *target, const char *id, struct text *answer)
{
    // A process without the resident has no package, and gets no resident to say so.
    if (resident_find(target, &failure))
        send(target, REVERT, (const u8 *)id, text_length(id), answer);
    else if (!WaitForSingleObject(target->process, 0))
        put(fail(&failure, "process-gone", "", ""), "it has ended");
    else if (!failure.slug)
        put(fail(&failure, "not-applied", "", ""), "the agent was never in this process");
}

static void hello(struct target *target, struct text *answer)
{
    int there = resident_find(target, &failure);
    put(answer, "{\"ok\":true,\"result\":\"hello\",\"protocol\":");
    put_number(answer, PROTOCOL);
    put(answer, ",\"resident\":");
    put(answer, there ? "true}" : "false}");
}

static int starts_with(const char *words, const char *start)
{
    while (*start && *words == *start)
        words++, start++;
    return !*start;
}

static void carry_out(struct target *target, struct text *answer)
{
    if (text_same(line, "hello"))
        hello(target, answer);
    else if (text_same(line, "status"))
        report_status(target, answer, &failure);
    else if (starts_with(line, "apply "))
        apply(target, line + 6, answer);
    else if (starts_with(line, "revert "))
        revert(target, line + 7, answer);
    else
        put(fail(&failure, "bad-order", "", ""), "no such command");
}

// ---- the process, input and output

static int target_open(struct target *target)
{
    typedef BOOL(WINAPI *machine_of)(HANDLE, USHORT *, USHORT *);
    USHORT emulated = 0, native = 0;
    BOOL narrow = FALSE;
    target->process = OpenProcess(PROCESS_CREATE_THREAD | PROCESS_VM_OPERATION | PROCESS_VM_READ | PROCESS_VM_WRITE |
                                      PROCESS_QUERY_INFORMATION | PROCESS_DUP_HANDLE | SYNCHRONIZE,
                                  FALSE, target->pid);
    if (!target->process || !WaitForSingleObject(target->process, 0)) {
        struct text *why = fail(&failure, "no-such-process", "", "");
        put(why, "Windows process ");
        put_number(why, target->pid);
        put(why, " (error ");
        put_number(why, target->process ? 0 : GetLastError());
        put(why, ")");
        return 0;
    }
    machine_of machine = (machine_of)(void *)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "IsWow64Process2");
    if (machine ? machine(target->process, &emulated, &native) && (emulated || native != IMAGE_FILE_MACHINE_AMD64)
                : IsWow64Process(target->process, &narrow) && narrow) {
        put(fail(&failure, "wrong-architecture", "", ""), "it is not a 64-bit x86 process");
        return 0;
    }
    return 1;
}

static int read_line(HANDLE input)
{
    u32 used = 0;
    DWORD got = 0;
    char symbol;
    while (ReadFile(input, &symbol, 1, &got, 0) && got) {
        if (symbol == '\n')
            break;
        if (used < LINE - 1 && symbol != '\r')
            line[used++] = symbol;
    }
    line[used] = 0;
    return used || got;
}

static void put_failure(struct text *answer)
{
    *answer = text_in(answer_room, sizeof answer_room);
    put(answer, "{\"ok\":false,\"error\":");
    put_json(answer, failure.slug);
    put(answer, ",\"module\":");
    put_json(answer, failure.module);
    put(answer, ",\"detail\":");
    put_json(answer, failure.detail);
    put(answer, "}");
}

static int parse_number(const WCHAR **at, u32 *value)
{
    u64 read = 0;
    const WCHAR *start;
    while (**at == ' ')
        ++*at;
    for (start = *at; **at >= '0' && **at <= '9' && read <= ~0u; ++*at)
        read = 10 * read + (u32)(**at - '0');
    *value = (u32)read;
    return *at != start && read <= ~0u;
}

static int parse_arguments(struct target *target)
{
    const WCHAR *at = GetCommandLineW();
    WCHAR end = *at == '"' ? '"' : ' ';
    for (at += end == '"'; *at && *at != end; at++)
        ;
    at += *at != 0;
    if (!parse_number(&at, &target->pid))
        return 0;
    if (!parse_number(&at, &target->limit_ms))
        target->limit_ms = DEFAULT_LIMIT;
    while (*at == ' ')
        at++;
    return !*at;
}

__attribute__((noreturn)) void begin_courier(void)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE), output = GetStdHandle(STD_OUTPUT_HANDLE);
    struct target target = {0};
    DWORD written;
    if (!parse_arguments(&target)) {
        static const char usage[] = "usage: hpagent.exe WINDOWS_PID [LIMIT_MS]\n";
        WriteFile(GetStdHandle(STD_ERROR_HANDLE), usage, sizeof usage - 1, &written, 0);
        ExitProcess(2);
    }
    int open = target_open(&target);
    while (read_line(input) && !text_same(line, "quit")) {
        struct text answer = text_in(answer_room, sizeof answer_room);
        if (open) {
            failure.slug = 0;
            carry_out(&target, &answer);
        }
        if (failure.slug)
            put_failure(&answer);
        put_char(&answer, '\n');
        if (!WriteFile(output, answer.at, answer.used, &written, 0))
            break;
    }
    ExitProcess(0);
}
