// What a new function may be in the middle of: exceptions, tables, recursion, pointers that are held elsewhere.
// Every scene has an exported function; those that the fixed version leaves alone say so.

using u8 = unsigned char;
using u32 = unsigned int;
using u64 = unsigned long long;
using callback = u64 (*)(u64);

#define API extern "C" __declspec(dllexport)
#define NOINLINE __attribute__((noinline))

struct Refused {
    int code;
};

static int left;
static int finals;
static volatile double ballast = 1.5;

// Counts the scopes left, by return or by exception.
struct Scope {
    int worth;
    ~Scope() { left += worth; }
};

// ---- C++ exceptions

// Unchanged: throws for whom it may concern.
NOINLINE static int thrower(int number)
{
    if (number > 9)
        throw Refused{number};
    return number;
}

// Unchanged: throws something else.
API NOINLINE int number_thrown(int number)
{
    if (number > 90)
        throw number;
    return number;
}

// Thrown and caught in one function.
API int thrown_in(int number)
{
    try {
        if (number & 1)
            throw Refused{number};
        return number;
    } catch (const Refused &refused) {
        return -refused.code;
    }
}

// The same; the fixed version throws what only another function threw, and catches what nobody did.
API int thrown_new(int number)
{
    try {
        if (number & 1)
            throw Refused{number};
        return number;
    } catch (const Refused &refused) {
        return -refused.code;
    }
}

// Exceptions pass: the scope is left, and registers that belong to the caller come back.
NOINLINE static int passes(int number, double weight)
{
    Scope scope{1};
    double kept = weight * ballast;
    int result = thrower(number) + thrower(number - 1);
    return result + static_cast<int>(kept);
}

// Unchanged: catches what has passed.
API int thrown_through(int number)
{
    double one = ballast * 2, two = ballast * 4;
    int result;
    try {
        result = passes(number, one) + passes(number - 1, two);
    } catch (const Refused &refused) {
        result = 1000 + refused.code;
    }
    return result + static_cast<int>(one * 100 + two * 10);
}

// Out of this function, and out of the DLL when a stranger calls it.
API NOINLINE int thrown_out(int number)
{
    if (number > 5)
        throw Refused{number};
    return number;
}

// Unchanged: catch what comes out.
API int caught_outside(int number)
{
    Scope scope{100};
    try {
        return thrown_out(number);
    } catch (const Refused &refused) {
        return -refused.code;
    }
}

API int caught_whatever(int number)
{
    try {
        return thrown_out(number);
    } catch (...) {
        return -1;
    }
}

// Caught, thrown again out of the handler, caught further out.
API int thrown_again(int number)
{
    int handlers = 0;
    try {
        Scope scope{1};
        try {
            return thrower(number);
        } catch (const Refused &refused) {
            handlers += refused.code;
            throw;
        }
    } catch (...) {
        handlers += 1;
    }
    return handlers;
}

API int scopes_left(void) { return left; }

// ---- structured exceptions

API int guarded(callback call, u64 code)
{
    volatile int state = 0;
    __try {
        __try {
            call(code);
            state |= 1;
        } __finally {
            finals += 1;
            state |= 2;
        }
    } __except (code == 0xe0000001) {
        state |= 4;
    }
    return state;
}

API int finals_seen(void) { return finals; }

NOINLINE static int quotient(int number, int divisor) { return number / divisor; }

// Unchanged: the processor's own exception comes out of `quotient`.
API int divided(int number, int divisor)
{
    __try {
        return quotient(number, divisor);
    } __except (1) {
        return -1;
    }
}

// ---- tables

API int switched(int number)
{
    switch (number) {
    case 0: return left * 0 + 17;
    case 1: return static_cast<int>(ballast * 2);
    case 2: left += 0; return 5;
    case 3: return finals * 0 - 4;
    case 4: return number * number + 11;
    case 5: return static_cast<int>(ballast * 100);
    default: return -1;
    }
}

API const char *name_of(int number)
{
    static const char *const names[] = {"nought", "one", "two"};
    return number >= 0 && number < 3 ? names[number] : "many";
}

static const u32 weights[] = {3, 5, 7, 11, 13, 17, 19, 23};

// Unchanged, but for the table.
API u32 weight_of(u32 index) { return weights[index & 7]; }

API u32 weight_of_all(u32 first)
{
    u32 total = 0;
    for (u32 i = first & 7; i < 8; i++)
        total += *static_cast<const volatile u32 *>(&weights[i]);
    return total;
}

// With static data of its own in the fixed version.
API int counted(int number) { return number; }

// As MSVC makes them: a table of RVAs of the cases, reached by a displacement that has no relocation.
__asm__(".section .drectve,\"yn\"\n"
        ".ascii \" /EXPORT:routed\"\n"
        ".section .rdata,\"dr\"\n"
        ".p2align 2\n"
        "routes: .long routed_nought@IMGREL, routed_one@IMGREL, routed_two@IMGREL\n"
        ".text\n"
        ".globl routed\n"
        ".def routed; .scl 2; .type 32; .endef\n"
        ".p2align 4, 0xCC\n"
        "routed:\n"
        "    movl %ecx, %eax\n"
        "    cmpl $2, %eax\n"
        "    ja routed_else\n"
        "    leaq __ImageBase(%rip), %rdx\n"
        "    movl routes@IMGREL(%rdx,%rax,4), %eax\n"
        "    addq %rdx, %rax\n"
        "    jmpq *%rax\n"
        "routed_nought: movl $1000, %eax\n"
        "    retq\n"
        "routed_one: movl $1001, %eax\n"
        "    retq\n"
        "routed_two: movl $1002, %eax\n"
        "    retq\n"
        "routed_else: xorl %eax, %eax\n"
        "    retq\n");

// ---- recursion, pointers, objects

// Every level adds one thing; the call back is made on level 3.
API NOINLINE u64 descended(u64 depth, callback call)
{
    if (depth == 0)
        return 0;
    if (depth == 3)
        call(depth);
    volatile u64 below = descended(depth - 1, call); // no loop is made of it
    return below + 1;
}

API int added(int one, int other) { return one + other; }
API int doubled(int one, int other) { return (one + other) * 2; }

using operation = int (*)(int, int);
static operation const operations[] = {added, doubled};
static volatile operation chosen = added;

// Unchanged: calls through pointers that lie in the data of the module.
API int operated(u32 index, int one, int other) { return operations[index & 1](one, other); }
API int operated_as_chosen(int one, int other) { return chosen(one, other); }

API operation usual(void) { return added; }
API int is_usual(operation which) { return which == added; }

struct Shape {
    virtual int area() const = 0;
    virtual int corners() const { return 0; }
};

struct Square : Shape {
    int side;
    explicit Square(int side) : side(side) {}
    int area() const override { return side * side; }
    int corners() const override { return 4; }
};

NOINLINE static int described(const Shape *shape) { return shape->area() * 10 + shape->corners(); }

// Unchanged: calls through a table of virtual functions.
API int square(int side)
{
    Square it(side);
    return described(&it);
}

API u64 gathered(u64 one, u64 two, u64 three, u64 four, u64 five, u64 six)
{
    return one + two + three + four + five + six;
}

// ---- what a module needs without a C runtime

extern "C" void _purecall(void) {}
void operator delete(void *, u64) noexcept {}
__asm__(".section .rdata,\"dr\"\n"
        ".globl \"??_7type_info@@6B@\"\n"
        ".p2align 3\n"
        "\"??_7type_info@@6B@\": .quad 0\n");
extern "C" int _fltused;
int _fltused;
extern "C" int __stdcall DllMain(void *, u32, void *) { return 1; }
