// A process to be patched: loads DLLs, calls their exports as it is told on stdin, answers one line each on stdout.
//
//   host.exe [DLL...]            first answers `ready WINDOWS_PID`
//
//   load DLL                     ok BASE
//   base DLL                     ok BASE
//   address NAME                 ok ADDRESS                     (of the export, or a value as below)
//   take SLOT NAME               ok ADDRESS                     function pointer kept as @SLOT, 0 to 9
//   call TYPE NAME VALUE...      ok RESULT, or: raised CODE     TYPE: i u (32 bit), q (64 bit), s (text), v (none)
//   keep SLOT                    ok ADDRESS                     the result of the last call, as @SLOT
//   begin TYPE NAME VALUE...     ok JOB                         the same in a thread of its own
//   finish JOB                   as call
//   start THREADS TYPE NAME VALUE... -> ALLOWED...    ok GROUP  threads that call until `stop`
//   counts GROUP                 ok calls=N wrong=N raised=N longest_us=N first_wrong=RESULT each=N,N,...
//   stop GROUP                   the same, after the threads have ended
//   entered COUNT                ok COUNT     waits until &wait and &late have been entered so often (10 s)
//   release / hold               ok           lets waiting threads go on; makes the next ones wait again
//   peek ADDRESS SIZE            ok HEX
//   poke ADDRESS HEX             ok           in code pages too
//   reserve FROM TO              ok REGIONS   takes all free addresses between
//   give-back                    ok           and lets them go
//   expire MILLISECONDS CODE     ok           the process ends after that time
//   exit CODE                                 end of input: exit 0
//
// A VALUE is a number (decimal, negative, 0x...), "text" (with \xNN), $0 to $9 (a buffer of 64 KiB; $0+8 inside it),
// @0 to @9 (what was taken or kept) or one of this program's functions, to be called back: &identity, &raise (an
// exception of this code), &wait (until `release`, its value is the result), &late (waits, then raises). NAME is an
// export of any DLL loaded, @SLOT or &wait and its like. Anything wrong is answered with `error WHY`.
// No C runtime: kernel32, and ntdll for __except.

typedef unsigned char u8;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef void *handle;
typedef u64 (*function)(u64, u64, u64, u64, u64, u64);

#define IMPORT __declspec(dllimport)
IMPORT handle GetStdHandle(u32);
IMPORT i32 ReadFile(handle, void *, u32, u32 *, void *);
IMPORT i32 WriteFile(handle, const void *, u32, u32 *, void *);
IMPORT handle LoadLibraryA(const char *);
IMPORT handle GetModuleHandleA(const char *);
IMPORT void *GetProcAddress(handle, const char *);
IMPORT char *GetCommandLineA(void);
IMPORT u32 GetCurrentProcessId(void);
IMPORT handle GetProcessHeap(void);
IMPORT void *HeapAlloc(handle, u32, u64);
IMPORT handle CreateThread(void *, u64, u32 (*)(void *), void *, u32, u32 *);
IMPORT handle CreateEventA(void *, i32, i32, const char *);
IMPORT i32 SetEvent(handle);
IMPORT i32 ResetEvent(handle);
IMPORT u32 WaitForSingleObject(handle, u32);
IMPORT i32 CloseHandle(handle);
IMPORT void RaiseException(u32, u32, u32, const u64 *);
IMPORT i32 VirtualProtect(void *, u64, u32, u32 *);
IMPORT u64 VirtualQuery(const void *, void *, u64);
IMPORT void *VirtualAlloc(void *, u64, u32, u32);
IMPORT i32 VirtualFree(void *, u64, u32);
IMPORT handle GetCurrentProcess(void);
IMPORT i32 FlushInstructionCache(handle, const void *, u64);
IMPORT i32 QueryPerformanceCounter(u64 *);
IMPORT i32 QueryPerformanceFrequency(u64 *);
IMPORT void Sleep(u32);
IMPORT u32 GetLastError(void);
IMPORT __attribute__((noreturn)) void ExitProcess(u32);

enum { ARGUMENTS = 6, ALLOWED = 16, WORDS = 40, LINE = 1 << 17, BUFFER = 1 << 16, THREADS = 64, GROUPS = 16, JOBS = 64,
       MODULES = 16, REGIONS = 4096, SECOND = 1000, EVERYTHING = 0x40, RESERVE = 0x2000, FREE = 0x10000, RELEASE = 0x8000 };

struct call {
    char type;
    function target;
    u64 values[ARGUMENTS];
};

struct outcome {
    u32 raised;
    u64 result;
};

struct job {
    struct call call;
    struct outcome outcome;
    handle thread;
};

struct group {
    struct call call;
    u32 threads, allowed;
    u64 expected[ALLOWED];
    volatile i32 stop;
};

struct worker {
    struct group *group;
    handle thread;
    volatile u64 calls, wrong, raised, longest, first_wrong, each[ALLOWED];
    u8 apart[64];
};

static handle heap, input, output, gate;
static char line[LINE], answer[LINE];
static u32 answered;
static char *words[WORDS];
static u32 count;
static handle modules[MODULES];
static u32 loaded;
static u8 buffers[10][BUFFER];
static void *taken[10];
static u64 last;
static struct job jobs[JOBS];
static struct group groups[GROUPS];
static struct worker workers[GROUPS][THREADS];
static u32 job_count, group_count;
static volatile i32 entries;
static void *regions[REGIONS];
static u32 region_count;
static u64 ticks_per_second;

void *memset(void *to, int value, u64 size)
{
    volatile u8 *at = to;
    while (size--)
        *at++ = (u8)value;
    return to;
}

void *memcpy(void *to, const void *from, u64 size)
{
    volatile u8 *at = to;
    const u8 *source = from;
    while (size--)
        *at++ = *source++;
    return to;
}

// ---- text

static int same(const char *one, const char *other)
{
    for (; *one && *one == *other; one++, other++)
        ;
    return *one == *other;
}

static void put_char(char symbol)
{
    if (answered < LINE - 1)
        answer[answered++] = symbol;
}

static void put(const char *text)
{
    while (*text)
        put_char(*text++);
}

static void put_hex(u64 value, int digits)
{
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 15]);
}

static void put_number(u64 value)
{
    char digits[20];
    int used = 0;
    do
        digits[used++] = (char)('0' + value % 10);
    while (value /= 10);
    while (used)
        put_char(digits[--used]);
}

static void put_address(u64 value)
{
    put("0x");
    put_hex(value, 16);
}

static void put_text(const char *text)
{
    put_char('"');
    for (; *text; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') {
            put("\\x");
            put_hex((u8)*text, 2);
        } else {
            put_char(*text);
        }
    }
    put_char('"');
}

static void put_result(char type, u64 result)
{
    if (type == 'v')
        put("void");
    else if (type == 's' && result)
        put_text((const char *)result);
    else if (type == 's')
        put("null");
    else if (type == 'q')
        put_address(result);
    else if (type == 'i' && (i32)result < 0)
        put_char('-'), put_number((u64) - (long long)(i32)result);
    else
        put_number((u32)result);
}

static void send(void)
{
    u32 written;
    put_char('\n');
    WriteFile(output, answer, answered, &written, 0);
    answered = 0;
}

static __attribute__((noreturn)) void end(u32 code)
{
    CloseHandle(output);
    ExitProcess(code);
}

static int wrong(const char *why)
{
    answered = 0;
    put("error ");
    put(why);
    return 0;
}

static void ok(void) { put("ok"); }

// Reads one line; 0 at the end of input.
static int read_line(void)
{
    u32 used = 0, got;
    while (used < LINE - 1 && ReadFile(input, line + used, 1, &got, 0) && got) {
        if (line[used] == '\n')
            break;
        if (line[used] != '\r')
            used++;
    }
    if (!used && !got)
        return 0;
    line[used] = 0;
    return 1;
}

static int hex_digit(char symbol)
{
    if (symbol >= '0' && symbol <= '9')
        return symbol - '0';
    symbol |= 0x20;
    return symbol >= 'a' && symbol <= 'f' ? symbol - 'a' + 10 : -1;
}

// Cuts `line` into words at spaces; a "text" is one word and keeps its first quotation mark.
static void split(void)
{
    char *at = line;
    for (count = 0; count < WORDS;) {
        while (*at == ' ')
            at++;
        if (!*at)
            return;
        words[count++] = at;
        if (*at == '"') {
            for (at++; *at && *at != '"'; at++)
                ;
        } else {
            while (*at && *at != ' ')
                at++;
        }
        if (*at)
            *at++ = 0;
    }
}

static int number(const char *text, u64 *value)
{
    int negative = *text == '-';
    u64 base = 10;
    text += negative;
    if (text[0] == '0' && text[1] == 'x')
        base = 16, text += 2;
    if (!*text)
        return 0;
    for (*value = 0; *text; text++) {
        int digit = hex_digit(*text);
        if (digit < 0 || (u64)digit >= base)
            return 0;
        *value = *value * base + (u64)digit;
    }
    if (negative)
        *value = (u64) - (long long)*value;
    return 1;
}

// A copy of what stands behind the quotation mark; it is never freed, threads may use it for long.
static u64 text_of(const char *quoted)
{
    u64 size = 0;
    while (quoted[size])
        size++;
    char *copy = HeapAlloc(heap, 0, size + 1), *to = copy;
    for (; *quoted; quoted++) {
        if (quoted[0] == '\\' && quoted[1] == 'x' && hex_digit(quoted[2]) >= 0 && hex_digit(quoted[3]) >= 0) {
            *to++ = (char)(hex_digit(quoted[2]) << 4 | hex_digit(quoted[3]));
            quoted += 3;
        } else {
            *to++ = *quoted;
        }
    }
    *to = 0;
    return (u64)copy;
}

// ---- functions of this program that others call back

static u64 identity(u64 value) { return value; }

static u64 raise(u64 code)
{
    RaiseException((u32)code, 0, 0, 0);
    return 0;
}

static u64 wait(u64 value)
{
    __atomic_fetch_add(&entries, 1, __ATOMIC_SEQ_CST);
    return WaitForSingleObject(gate, 120 * SECOND) ? ~0ull : value;
}

static u64 late(u64 code) { return wait(0) ? ~0ull : raise(code); }

// ---- values and calls

static function find(const char *name)
{
    if (name[0] == '@' && name[1] >= '0' && name[1] <= '9' && !name[2])
        return (function)taken[name[1] - '0'];
    if (same(name, "&identity"))
        return (function)(void *)identity;
    if (same(name, "&raise"))
        return (function)(void *)raise;
    if (same(name, "&wait"))
        return (function)(void *)wait;
    if (same(name, "&late"))
        return (function)(void *)late;
    for (u32 i = 0; i < loaded; i++) {
        void *address = GetProcAddress(modules[i], name);
        if (address)
            return (function)address;
    }
    return 0;
}

static int value_of(const char *word, u64 *value)
{
    if (word[0] == '"')
        return *value = text_of(word + 1), 1;
    if (word[0] == '$' && word[1] >= '0' && word[1] <= '9' && (!word[2] || word[2] == '+')) {
        u64 offset = 0;
        if (word[2] && !number(word + 3, &offset))
            return 0;
        return *value = (u64)buffers[word[1] - '0'] + offset, offset < BUFFER;
    }
    if (word[0] == '@' && word[1] >= '0' && word[1] <= '9' && !word[2])
        return *value = (u64)taken[word[1] - '0'], 1;
    if (word[0] == '&')
        return *value = (u64)find(word), *value != 0;
    return number(word, value);
}

static int value_at(u32 index, u64 *value)
{
    return index < count && value_of(words[index], value) ? 1 : wrong("a value is missing or not understood");
}

// Reads TYPE NAME VALUE... up to the end or `->`; answers the index behind it, 0 when something is wrong.
static u32 parse_call(u32 at, struct call *call)
{
    if (at + 1 >= count)
        return (u32)wrong("TYPE NAME expected");
    call->type = words[at][0];
    call->target = find(words[at + 1]);
    if (!call->target)
        return (u32)wrong("no such function");
    memset(call->values, 0, sizeof call->values);
    u32 used = 0;
    for (at += 2; at < count && !same(words[at], "->"); at++) {
        if (used == ARGUMENTS)
            return (u32)wrong("too many values");
        if (!value_at(at, &call->values[used++]))
            return 0;
    }
    return at;
}

static __attribute__((noinline)) u64 plain(const struct call *call)
{
    const u64 *v = call->values;
    return call->target(v[0], v[1], v[2], v[3], v[4], v[5]);
}

static __attribute__((noinline)) void perform(const struct call *call, struct outcome *outcome)
{
    outcome->raised = 0;
    outcome->result = 0;
    __try {
        outcome->result = plain(call);
    } __except (outcome->raised = (u32)_exception_code(), 1) {
    }
}

static void put_outcome(const struct call *call, const struct outcome *outcome)
{
    if (outcome->raised) {
        put("raised ");
        put_hex(outcome->raised, 8);
        return;
    }
    put("ok ");
    put_result(call->type, outcome->result);
}

static u32 perform_job(void *argument)
{
    struct job *job = argument;
    perform(&job->call, &job->outcome);
    return 0;
}

// ---- threads that call without pause

static u64 now(void)
{
    u64 ticks;
    QueryPerformanceCounter(&ticks);
    return ticks;
}

static int is_expected(const struct group *group, u32 index, u64 result)
{
    u64 expected = group->expected[index];
    if (group->call.type == 's')
        return result == expected || (result && expected && same((const char *)result, (const char *)expected));
    if (group->call.type == 'q')
        return result == expected;
    return group->call.type == 'v' || (u32)result == (u32)expected;
}

static u32 work(void *argument)
{
    struct worker *self = argument;
    struct group *group = self->group;
    struct outcome outcome;
    u64 before = now();
    while (!group->stop) {
        u32 index = 0;
        perform(&group->call, &outcome);
        u64 after = now();
        if (after - before > self->longest)
            self->longest = after - before;
        before = after;
        while (index < group->allowed && !is_expected(group, index, outcome.result))
            index++;
        if (outcome.raised)
            self->raised++, self->first_wrong = outcome.raised;
        else if (index < group->allowed)
            self->each[index]++;
        else if (!self->wrong++)
            self->first_wrong = outcome.result;
        self->calls++;
    }
    return 0;
}

static int start(void)
{
    struct group *group = &groups[group_count];
    struct worker *crew = workers[group_count];
    u64 threads;
    if (group_count == GROUPS)
        return wrong("too many groups");
    if (!value_at(1, &threads))
        return 0;
    if (!threads || threads > THREADS)
        return wrong("too many threads");
    u32 at = parse_call(2, &group->call);
    if (!at)
        return 0;
    group->threads = (u32)threads;
    for (at++; at < count; at++) {
        if (group->allowed == ALLOWED)
            return wrong("too many allowed results");
        if (!value_at(at, &group->expected[group->allowed++]))
            return 0;
    }
    for (u32 i = 0; i < group->threads; i++) {
        crew[i].group = group;
        crew[i].thread = CreateThread(0, 0, work, &crew[i], 0, 0);
        if (!crew[i].thread)
            return wrong("no thread");
    }
    put("ok ");
    put_number(group_count++);
    return 1;
}

static void put_field(const char *name, u64 value)
{
    put(name);
    put_number(value);
}

static int counts(int stop)
{
    u64 index, calls = 0, bad = 0, raised = 0, longest = 0, first = 0;
    if (!value_at(1, &index))
        return 0;
    if (index >= group_count)
        return wrong("no such group");
    struct group *group = &groups[index];
    struct worker *crew = workers[index];
    group->stop = group->stop || stop;
    for (u32 i = 0; i < group->threads; i++) {
        if (stop && WaitForSingleObject(crew[i].thread, 60 * SECOND))
            return wrong("a thread does not end");
        calls += crew[i].calls;
        bad += crew[i].wrong;
        raised += crew[i].raised;
        longest = crew[i].longest > longest ? crew[i].longest : longest;
        if (crew[i].wrong || crew[i].raised)
            first = crew[i].first_wrong;
    }
    put_field("ok calls=", calls);
    put_field(" wrong=", bad);
    put_field(" raised=", raised);
    put_field(" longest_us=", longest * 1000000 / ticks_per_second);
    put(" first_wrong=");
    put_address(first);
    for (u32 allowed = 0; allowed < group->allowed; allowed++) {
        u64 each = 0;
        for (u32 i = 0; i < group->threads; i++)
            each += crew[i].each[allowed];
        put_field(allowed ? "," : " each=", each);
    }
    return 1;
}

// ---- memory

struct memory_information {
    u64 base, allocation;
    u32 allocation_protection;
    u32 partition;
    u64 size;
    u32 state, protection, type, unused;
};

static int readable(u64 address, u64 size)
{
    struct memory_information information;
    for (u64 at = address; at < address + size; at = information.base + information.size)
        if (!VirtualQuery((void *)at, &information, sizeof information) || information.state != 0x1000 ||
            information.protection & 0x101)
            return 0;
    return 1;
}

static int peek(void)
{
    u64 address, size;
    if (!value_at(1, &address) || !value_at(2, &size))
        return 0;
    if (size > LINE / 4 || !readable(address, size))
        return wrong("not readable");
    put("ok ");
    for (u64 i = 0; i < size; i++)
        put_hex(((volatile u8 *)address)[i], 2);
    return 1;
}

static int poke(void)
{
    u64 address;
    u32 before;
    if (!value_at(1, &address))
        return 0;
    if (count < 3)
        return wrong("HEX expected");
    const char *digits = words[2];
    u64 size = 0;
    while (hex_digit(digits[2 * size]) >= 0 && hex_digit(digits[2 * size + 1]) >= 0)
        size++;
    if (!VirtualProtect((void *)address, size, EVERYTHING, &before))
        return wrong("not writable");
    for (u64 i = 0; i < size; i++)
        ((volatile u8 *)address)[i] = (u8)(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
    VirtualProtect((void *)address, size, before, &before);
    FlushInstructionCache(GetCurrentProcess(), (void *)address, size);
    return ok(), 1;
}

// Takes every free address of a range, so that nothing can be placed there.
static int reserve(void)
{
    struct memory_information information;
    u64 from, to, unit = 0x10000;
    if (!value_at(1, &from) || !value_at(2, &to))
        return 0;
    for (u64 at = from; at < to && VirtualQuery((void *)at, &information, sizeof information);) {
        u64 next = information.base + information.size, stop = next < to ? next : to;
        u64 first = (at + unit - 1) & ~(unit - 1);
        if (information.state == FREE && first < stop && region_count < REGIONS) {
            void *region = VirtualAlloc((void *)first, stop - first, RESERVE, 1);
            if (region)
                regions[region_count++] = region;
        }
        at = next;
    }
    put_field("ok ", region_count);
    return 1;
}

static int give_back(void)
{
    while (region_count)
        VirtualFree(regions[--region_count], 0, RELEASE);
    return ok(), 1;
}

// ---- commands

static int put_found(u64 address)
{
    if (!address)
        return wrong("not found");
    put("ok ");
    put_address(address);
    return 1;
}

static int load(const char *path)
{
    handle module = LoadLibraryA(path);
    if (!module) {
        wrong("not loaded: ");
        put_number(GetLastError());
        return 0;
    }
    if (loaded < MODULES)
        modules[loaded++] = module;
    return put_found((u64)module);
}

static int address_of(void)
{
    u64 value = count > 1 ? (u64)find(words[1]) : 0;
    return !value && !value_at(1, &value) ? 0 : put_found(value);
}

static int take(void)
{
    u64 slot;
    if (!value_at(1, &slot))
        return 0;
    if (slot > 9 || count < 3)
        return wrong("SLOT NAME expected");
    taken[slot] = (void *)find(words[2]);
    return put_found((u64)taken[slot]);
}

static int call(void)
{
    struct call it;
    struct outcome outcome;
    if (!parse_call(1, &it))
        return 0;
    perform(&it, &outcome);
    last = outcome.result;
    put_outcome(&it, &outcome);
    return 1;
}

static int keep(void)
{
    u64 slot;
    if (!value_at(1, &slot))
        return 0;
    if (slot > 9)
        return wrong("SLOT expected");
    taken[slot] = (void *)last;
    put("ok ");
    put_address(last);
    return 1;
}

static int begin(void)
{
    struct job *job = &jobs[job_count];
    if (job_count == JOBS)
        return wrong("too many jobs");
    if (!parse_call(1, &job->call))
        return 0;
    job->thread = CreateThread(0, 0, perform_job, job, 0, 0);
    if (!job->thread)
        return wrong("no thread");
    put_field("ok ", job_count++);
    return 1;
}

static int finish(void)
{
    u64 index;
    if (!value_at(1, &index))
        return 0;
    if (index >= job_count)
        return wrong("no such job");
    if (WaitForSingleObject(jobs[index].thread, 60 * SECOND))
        return wrong("the call does not end");
    put_outcome(&jobs[index].call, &jobs[index].outcome);
    return 1;
}

static int entered(void)
{
    u64 wanted;
    if (!value_at(1, &wanted))
        return 0;
    for (int i = 0; (u64)entries < wanted && i < 10 * SECOND; i++)
        Sleep(1);
    if ((u64)entries < wanted)
        return wrong("not entered so often");
    put_field("ok ", (u64)entries);
    return 1;
}

static u32 expiry[2];

static u32 expires(void *argument)
{
    (void)argument;
    Sleep(expiry[0]);
    end(expiry[1]);
}

static int expire(void)
{
    u64 time, code;
    if (!value_at(1, &time) || !value_at(2, &code))
        return 0;
    expiry[0] = (u32)time, expiry[1] = (u32)code;
    return CreateThread(0, 0, expires, 0, 0, 0) ? ok(), 1 : wrong("no thread");
}

static int obey(void)
{
    const char *command = words[0];
    u64 value;
    if (same(command, "load"))
        return count > 1 ? load(words[1] + (words[1][0] == '"')) : wrong("DLL expected");
    if (same(command, "base"))
        return count > 1 ? put_found((u64)GetModuleHandleA(words[1])) : wrong("DLL expected");
    if (same(command, "address"))
        return address_of();
    if (same(command, "take"))
        return take();
    if (same(command, "call"))
        return call();
    if (same(command, "keep"))
        return keep();
    if (same(command, "begin"))
        return begin();
    if (same(command, "finish"))
        return finish();
    if (same(command, "start"))
        return start();
    if (same(command, "counts") || same(command, "stop"))
        return counts(same(command, "stop"));
    if (same(command, "entered"))
        return entered();
    if (same(command, "release"))
        return SetEvent(gate), ok(), 1;
    if (same(command, "hold"))
        return ResetEvent(gate), ok(), 1;
    if (same(command, "peek"))
        return peek();
    if (same(command, "poke"))
        return poke();
    if (same(command, "reserve"))
        return reserve();
    if (same(command, "give-back"))
        return give_back();
    if (same(command, "expire"))
        return expire();
    if (same(command, "exit"))
        end(count > 1 && number(words[1], &value) ? (u32)value : 0);
    return wrong("no such command");
}

// The command line without the program's own name, cut into words.
static void read_arguments(void)
{
    const char *from = GetCommandLineA();
    char end_of_name = ' ';
    if (*from == '"')
        end_of_name = *from++;
    while (*from && *from != end_of_name)
        from++;
    from += *from != 0;
    u32 used = 0;
    while (from[used] && used < LINE - 1)
        line[used] = from[used], used++;
    line[used] = 0;
    split();
}

void begin_process(void)
{
    heap = GetProcessHeap();
    input = GetStdHandle((u32)-10);
    output = GetStdHandle((u32)-11);
    gate = CreateEventA(0, 1, 0, 0);
    QueryPerformanceFrequency(&ticks_per_second);
    read_arguments();
    for (u32 i = 0; i < count; i++) {
        if (!load(words[i] + (words[i][0] == '"'))) {
            send();
            end(1);
        }
        answered = 0;
    }
    put_field("ready ", GetCurrentProcessId());
    send();
    while (read_line()) {
        split();
        if (count) {
            obey();
            send();
        }
    }
    end(0);
}
