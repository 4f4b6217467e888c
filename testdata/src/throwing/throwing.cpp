// C++ exceptions, structured exceptions, image-base-relative addresses and a load configuration in one module.

using u32 = unsigned int;
using u64 = unsigned long long;

#define API extern "C" __declspec(dllexport)
#define NOINLINE __attribute__((noinline))

extern "C" __declspec(dllimport) void __stdcall OutputDebugStringA(const char *text);

struct Malformed {
    int position;
};

struct Overflow : Malformed {
    u32 value;
};

// Counts the scopes left, by return or by exception.
struct Scope {
    int *left;
    ~Scope() { *left += 1; }
};

static int scopes_left;
static u32 largest;

NOINLINE static u32 digit(const char *text, int position)
{
    char symbol = text[position];
    if (symbol < '0' || symbol > '9')
        throw Malformed{position};
    return static_cast<u32>(symbol - '0');
}

NOINLINE static u32 parse(const char *text)
{
    Scope scope{&scopes_left};
    u32 value = 0;
    for (int i = 0; text[i]; i++) {
        u32 next = value * 10 + digit(text, i);
        if (value > 429496729)
            throw Overflow{{i}, value};
        value = next;
    }
    if (value > largest)
        largest = value;
    return value;
}

API int number_or_status(const char *text, u32 *number)
{
    try {
        *number = parse(text);
        return 0;
    } catch (const Overflow &error) {
        OutputDebugStringA("number too large");
        *number = error.value;
        return -2;
    } catch (const Malformed &error) {
        OutputDebugStringA("not a number");
        return -1 - error.position;
    }
}

API u32 sum(const char *const *texts, u32 count)
{
    u32 total = 0;
    for (u32 i = 0; i < count; i++) {
        Scope scope{&scopes_left};
        try {
            total += parse(texts[i]);
        } catch (...) {
            total += 1;
        }
    }
    return total;
}

NOINLINE static int loaded(const int *address) { return *static_cast<const volatile int *>(address); }

// Reads memory that may not be there; the filter is a function of its own.
API int read_or(const int *address, int otherwise)
{
    __try {
        return loaded(address);
    } __except (otherwise != -1) {
        OutputDebugStringA("no memory there");
        return otherwise;
    }
}

API int copy_counted(int *to, const int *from, u32 count)
{
    u32 copied = 0;
    __try {
        for (; copied < count; copied++)
            to[copied] = loaded(from + copied);
    } __finally {
        scopes_left++;
        largest = copied > largest ? copied : largest;
    }
    return static_cast<int>(copied);
}

API int scopes(void) { return scopes_left; }
API u32 largest_number(void) { return largest; }

// Interface with two implementations: tables of virtual functions.
struct Shape {
    virtual u32 area() const = 0;
    virtual u32 corners() const { return 0; }
};

struct Square : Shape {
    u32 side = 3;
    u32 area() const override { return side * side; }
    u32 corners() const override { return 4; }
};

struct Circle : Shape {
    u32 radius = 2;
    u32 area() const override { return radius * radius * 355 / 113; }
};

API u32 area_of(int round)
{
    Square square;
    Circle circle;
    const Shape *shape = round ? static_cast<const Shape *>(&circle) : &square;
    return shape->area() + 100 * shape->corners();
}

extern "C" void _purecall(void) { OutputDebugStringA("pure virtual function called"); }
void operator delete(void *, u64) noexcept {}

// A table of RVAs reached by a displacement that has no relocation, as MSVC makes for switches and string tables.
API const char *severity_name(u32 severity);
__asm__(".section .drectve,\"yn\"\n"
        ".ascii \" /EXPORT:severity_name\"\n"
        ".section .rdata,\"dr\"\n"
        "severity_names: .long severity_note@IMGREL, severity_warning@IMGREL, severity_error@IMGREL\n"
        "severity_note: .asciz \"note\"\n"
        "severity_warning: .asciz \"warning\"\n"
        "severity_error: .asciz \"error\"\n"
        ".globl \"??_7type_info@@6B@\"\n"
        ".p2align 3\n"
        "\"??_7type_info@@6B@\": .quad 0\n"
        ".text\n"
        ".globl severity_name\n"
        ".def severity_name; .scl 2; .type 32; .endef\n"
        ".p2align 4, 0xCC\n"
        "severity_name:\n"
        "    movl %ecx, %eax\n"
        "    cmpl $2, %eax\n"
        "    ja 1f\n"
        "    leaq __ImageBase(%rip), %rdx\n"
        "    movl severity_names@IMGREL(%rdx,%rax,4), %eax\n"
        "    addq %rdx, %rax\n"
        "    retq\n"
        "1:  xorl %eax, %eax\n"
        "    retq\n");

// The load configuration: guard tables by the linker, a cookie, no checks.
extern "C" {
extern char __guard_fids_table[], __guard_fids_count[], __guard_flags[], __guard_iat_table[], __guard_iat_count[];
extern char __guard_longjmp_table[], __guard_longjmp_count[], __guard_eh_cont_table[], __guard_eh_cont_count[];
u64 __security_cookie = 0x00002b992ddfa232;
static void no_check(void) {}
extern void (*const guard_check)(void) = no_check;
int _fltused;
}

struct LoadConfiguration {
    u32 size, time, version, flags_clear, flags_set, timeout;
    u64 memory[6];
    u32 heap_flags;
    unsigned short csd_version, dependent_flags;
    u64 edit_list;
    const void *cookie;
    u64 handlers, handler_count;
    const void *check, *dispatch, *functions, *function_count;
    const void *flags_word;
    u32 integrity[2];
    const void *iat_table, *iat_count, *longjump_table, *longjump_count;
    u64 dynamic_relocations, chpe, failure_routine, failure_pointer;
    u32 dynamic_offset;
    unsigned short dynamic_section, reserved2;
    u64 stack_check;
    u32 hotpatch_table, reserved3;
    u64 enclave, volatile_metadata;
    const void *continuation_table, *continuation_count;
};

extern "C" const LoadConfiguration _load_config_used __attribute__((section(".rdata"), used)) = {
    sizeof(LoadConfiguration), 0, 0, 0, 0, 0, {}, 0, 0, 0, 0, &__security_cookie, 0, 0,
    &guard_check, nullptr, __guard_fids_table, __guard_fids_count, __guard_flags, {},
    __guard_iat_table, __guard_iat_count, __guard_longjmp_table, __guard_longjmp_count,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, __guard_eh_cont_table, __guard_eh_cont_count,
};

extern "C" int __stdcall DllMain(void *, u32, void *) { return 1; }
