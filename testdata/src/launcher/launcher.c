// Starts a program and holds it at its first instruction, with all its DLLs loaded and no code of its own run yet.
//
//   launcher.exe OUTPUT PROGRAM...
//
// OUTPUT gets what the program writes to its standard output and error. Answers on stdout: `held WINDOWS_PID`; after
// a line `go` on stdin the program runs, and `exit CODE` follows. End of input before that ends the program.
// The loader has to finish: an endless loop (EB FE) is written to the entry point until the main thread has come to
// it; then the thread is suspended and the two bytes are put back.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef void *handle;

#define IMPORT __declspec(dllimport)
IMPORT handle GetStdHandle(u32);
IMPORT i32 ReadFile(handle, void *, u32, u32 *, void *);
IMPORT i32 WriteFile(handle, const void *, u32, u32 *, void *);
IMPORT handle CreateFileA(const char *, u32, u32, void *, u32, u32, handle);
IMPORT char *GetCommandLineA(void);
IMPORT i32 CreateProcessA(const char *, char *, void *, void *, i32, u32, void *, const char *, void *, void *);
IMPORT i32 ReadProcessMemory(handle, const void *, void *, u64, u64 *);
IMPORT i32 WriteProcessMemory(handle, void *, const void *, u64, u64 *);
IMPORT i32 FlushInstructionCache(handle, const void *, u64);
IMPORT i32 VirtualProtectEx(handle, void *, u64, u32, u32 *);
IMPORT u32 SuspendThread(handle);
IMPORT u32 ResumeThread(handle);
IMPORT i32 GetThreadContext(handle, void *);
IMPORT i32 TerminateProcess(handle, u32);
IMPORT u32 WaitForSingleObject(handle, u32);
IMPORT i32 GetExitCodeProcess(handle, u32 *);
IMPORT u32 GetLastError(void);
IMPORT void Sleep(u32);
IMPORT __attribute__((noreturn)) void ExitProcess(u32);
IMPORT i32 NtQueryInformationProcess(handle, u32, void *, u32, u32 *);

enum { SUSPENDED = 4, EVERYTHING = 0x40, CONTROL = 0x100001, RIP = 0xf8, CONTEXT = 0x4d0, TRIES = 20000 };

struct security {
    u32 size;
    void *descriptor;
    i32 inherit;
};

struct startup {
    u32 size;
    void *reserved[3];
    u32 place[7], flags;
    u16 show, reserved_size;
    void *more;
    handle input, output, error;
};

struct process {
    handle process, thread;
    u32 process_id, thread_id;
};

static handle input, output;
static u64 context[CONTEXT / 8] __attribute__((aligned(16)));

static void say(const char *word, u32 value)
{
    char text[64], digits[12];
    u32 used = 0, count = 0, written;
    while (*word)
        text[used++] = *word++;
    do
        digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count)
        text[used++] = digits[--count];
    text[used++] = '\n';
    WriteFile(output, text, used, &written, 0);
}

static __attribute__((noreturn)) void fail(const char *why)
{
    say(why, GetLastError());
    ExitProcess(2);
}

// Cuts the next word off a command line; it may stand in quotation marks.
static char *next_word(char **rest)
{
    char *at = *rest, close = ' ';
    while (*at == ' ')
        at++;
    if (*at == '"')
        close = *at++;
    char *word = at;
    while (*at && *at != close)
        at++;
    if (*at)
        *at++ = 0;
    while (*at == ' ')
        at++;
    *rest = at;
    return word;
}

static u64 read_value(handle process, u64 address, u32 size)
{
    u64 value = 0;
    if (!ReadProcessMemory(process, (void *)address, &value, size, 0))
        fail("error: memory not readable, ");
    return value;
}

static u64 entry_point(handle process)
{
    u64 basic[6];
    if (NtQueryInformationProcess(process, 0, basic, sizeof basic, 0))
        fail("error: no process information, ");
    u64 base = read_value(process, basic[1] + 0x10, 8);
    u64 header = base + read_value(process, base + 0x3c, 4);
    return base + read_value(process, header + 0x28, 4);
}

static void write_entry(handle process, u64 entry, u16 code)
{
    u32 before;
    if (!VirtualProtectEx(process, (void *)entry, 2, EVERYTHING, &before) ||
        !WriteProcessMemory(process, (void *)entry, &code, 2, 0) ||
        !VirtualProtectEx(process, (void *)entry, 2, before, &before))
        fail("error: entry point not writable, ");
    FlushInstructionCache(process, (void *)entry, 2);
}

static void hold(const struct process *it)
{
    u64 entry = entry_point(it->process);
    u16 code = (u16)read_value(it->process, entry, 2);
    write_entry(it->process, entry, 0xfeeb);
    ResumeThread(it->thread);
    for (int i = 0; i < TRIES; i++) {
        Sleep(1);
        SuspendThread(it->thread);
        ((u32 *)context)[12] = CONTROL;
        if (GetThreadContext(it->thread, context) && context[RIP / 8] == entry) {
            write_entry(it->process, entry, code);
            return;
        }
        ResumeThread(it->thread);
    }
    TerminateProcess(it->process, 2);
    fail("error: the program does not come to its entry point, ");
}

static int told_to_go(void)
{
    char symbol = 0;
    u32 got;
    while (ReadFile(input, &symbol, 1, &got, 0) && got)
        if (symbol == '\n')
            return 1;
    return 0;
}

void begin_process(void)
{
    struct security inherited = {sizeof inherited, 0, 1};
    struct startup startup = {.size = sizeof startup, .flags = 0x100};
    struct process it;
    u32 code;
    char *rest = GetCommandLineA();
    input = GetStdHandle((u32)-10);
    output = GetStdHandle((u32)-11);
    next_word(&rest);
    startup.output = startup.error =
        CreateFileA(next_word(&rest), 0x40000000, 3, &inherited, 2, 0x80, 0);
    if (startup.output == (handle)-1)
        fail("error: output not writable, ");
    if (!CreateProcessA(0, rest, 0, 0, 1, SUSPENDED, 0, 0, &startup, &it))
        fail("error: program not started, ");
    hold(&it);
    say("held ", it.process_id);
    if (told_to_go())
        ResumeThread(it.thread);
    else
        TerminateProcess(it.process, 3);
    WaitForSingleObject(it.process, 0xffffffff);
    GetExitCodeProcess(it.process, &code);
    say("exit ", code);
    ExitProcess(0);
}
