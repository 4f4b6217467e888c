/* What a C runtime brings: the ends of the list of initialisers (the linker sorts these sections by name and
 * merges them), and the helper that delay-loaded imports need. */

typedef void (*initialiser)(void);

#define IN(name) __attribute__((section(name), used))

IN(".CRT$XCA") const initialiser __xc_a[1] = { 0 };
IN(".CRT$XCZ") const initialiser __xc_z[1] = { 0 };

#pragma comment(linker, "/merge:.CRT=.rdata")

static int missing(void)
{
    return 0;
}

void *__delayLoadHelper2(const void *descriptor, void **slot)
{
    (void)descriptor;
    return *slot = (void *)missing;
}
