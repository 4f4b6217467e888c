// Looks into another process, and brings the resident there. What is read from there is checked like any input.
#include "courier.h"
#include "mailbox.h"
#include <tlhelp32.h>

enum { EXPORTS_LIMIT = 4096, NAME_LIMIT = 64, SNAPSHOT_TRIES = 50, LAST_MOMENTS = 2000 };

// Something failed there: is that because the process is ending? It ends its threads a moment before itself.
int target_ends(const struct target *target) { return WaitForSingleObject(target->process, LAST_MOMENTS) == WAIT_OBJECT_0; }

int remote_read(const struct target *target, u64 address, void *to, u64 size)
{
    SIZE_T got = 0;
    return ReadProcessMemory(target->process, (const void *)address, to, size, &got) && got == size;
}

static int wide_same_name(const WCHAR *one, const WCHAR *other)
{
    return CompareStringOrdinal(one, -1, other, -1, TRUE) == CSTR_EQUAL;
}

// Base of the module with this file name, 0 when the process has none.
u64 remote_module(const struct target *target, const WCHAR *name)
{
    HANDLE snapshot = INVALID_HANDLE_VALUE;
    MODULEENTRY32W entry = {.dwSize = sizeof entry};
    u64 base = 0;
    for (u32 turn = 0; turn < SNAPSHOT_TRIES && snapshot == INVALID_HANDLE_VALUE; turn++) {
        snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPMODULE, target->pid);
        if (snapshot == INVALID_HANDLE_VALUE && GetLastError() != ERROR_BAD_LENGTH)
            return 0;
    }
    if (snapshot == INVALID_HANDLE_VALUE)
        return 0;
    for (BOOL more = Module32FirstW(snapshot, &entry); more && !base; more = Module32NextW(snapshot, &entry))
        if (wide_same_name(entry.szModule, name))
            base = (u64)entry.modBaseAddr;
    CloseHandle(snapshot);
    return base;
}

// Address of an export of the module at `base`, 0 when it has none.
u64 remote_export(const struct target *target, u64 base, const char *name)
{
    IMAGE_DOS_HEADER dos;
    IMAGE_NT_HEADERS64 headers;
    IMAGE_EXPORT_DIRECTORY exports;
    if (!remote_read(target, base, &dos, sizeof dos) || dos.e_lfanew < 0 || dos.e_lfanew > PAGE ||
        !remote_read(target, base + (u32)dos.e_lfanew, &headers, sizeof headers) ||
        headers.OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC)
        return 0;
    u32 size = headers.OptionalHeader.SizeOfImage, at = headers.OptionalHeader.DataDirectory[0].VirtualAddress;
    if (!at || at >= size || !remote_read(target, base + at, &exports, sizeof exports))
        return 0;
    for (u32 i = 0; i < exports.NumberOfNames && i < EXPORTS_LIMIT; i++) {
        char found[NAME_LIMIT + 1] = {0};
        u32 text, function;
        u16 ordinal;
        if (!remote_read(target, base + exports.AddressOfNames + 4 * i, &text, sizeof text) ||
            !remote_read(target, base + text, found, text_length(name) + 1) ||
            !text_same(found, name))
            continue;
        if (!remote_read(target, base + exports.AddressOfNameOrdinals + 2 * i, &ordinal, sizeof ordinal) ||
            !remote_read(target, base + exports.AddressOfFunctions + 4 * (u64)ordinal, &function, sizeof function))
            return 0;
        return function && function < size ? base + function : 0;
    }
    return 0;
}

// LoadLibraryW where it lies in the target: the same distance from its module's base as here.
static u64 remote_loader(const struct target *target)
{
    HMODULE module = 0;
    WCHAR path[MAX_PATH], *name = path;
    u64 here = (u64)GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "LoadLibraryW");
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const WCHAR *)here, &module) ||
        !GetModuleFileNameW(module, path, MAX_PATH))
        return 0;
    for (WCHAR *at = path; *at; at++)
        if (*at == '\\')
            name = at + 1;
    u64 there = remote_module(target, name);
    return there ? there + (here - (u64)module) : 0;
}

static u32 own_library(WCHAR *path, u32 room)
{
    static const WCHAR name[] = L"hpagent.dll";
    u32 length = GetModuleFileNameW(0, path, room), folder = 0;
    for (u32 i = 0; i < length; i++)
        if (path[i] == '\\')
            folder = i + 1;
    if (!length || folder + sizeof name / sizeof *name > room)
        return 0;
    memcpy(path + folder, name, sizeof name);
    return folder + sizeof name / sizeof *name;
}

static int failed(struct failure *failure, const char *slug, const char *what)
{
    u32 error = GetLastError();
    struct text *why = fail(failure, slug, "", "");
    put(why, what);
    put(why, " (error ");
    put_number(why, error);
    put(why, ")");
    return 0;
}

static int failed_there(const struct target *target, struct failure *failure, const char *what)
{
    failed(failure, "injection-failed", what);
    return target_ends(target) ? failed(failure, "process-gone", "while the agent was loaded") : 0;
}

// Runs LoadLibraryW there. Its argument is freed only when it is surely no longer read.
static int load_there(struct target *target, const WCHAR *path, u32 length, struct failure *failure)
{
    u64 loader = remote_loader(target);
    if (!loader)
        return failed_there(target, failure, "its modules could not be listed");
    void *argument =
        VirtualAllocEx(target->process, 0, length * sizeof *path, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    SIZE_T written;
    if (!argument || !WriteProcessMemory(target->process, argument, path, length * sizeof *path, &written))
        return failed_there(target, failure, "no memory could be written there");
    HANDLE thread = CreateRemoteThread(target->process, 0, 0, (LPTHREAD_START_ROUTINE)loader, argument, 0, 0);
    if (!thread) {
        failed_there(target, failure, "no thread could be started there");
        VirtualFreeEx(target->process, argument, 0, MEM_RELEASE);
        return 0;
    }
    HANDLE both[2] = {thread, target->process};
    u32 ended = WaitForMultipleObjects(2, both, FALSE, target->limit_ms);
    if (ended == WAIT_OBJECT_0)
        VirtualFreeEx(target->process, argument, 0, MEM_RELEASE);
    CloseHandle(thread);
    if (ended == WAIT_OBJECT_0 + 1)
        return failed(failure, "process-gone", "while the agent was loaded");
    if (ended != WAIT_OBJECT_0)
        return failed(failure, "injection-failed", "the process did not load it in time");
    return 1;
}

// Looks for the resident there, and sees that it speaks this courier's language. Answers 1 when it is there; a failure
// is told only when what is there cannot be used.
int resident_find(struct target *target, struct failure *failure)
{
    u32 protocol = 0;
    if (target->journal)
        return 1;
    u64 base = remote_module(target, L"hpagent.dll");
    if (!base)
        return 0;
    target->journal = remote_export(target, base, "hpagent_journal");
    target->procedure = remote_export(target, base, "hpagent_command");
    if (target->journal && target->procedure &&
        remote_read(target, target->journal + __builtin_offsetof(struct journal, protocol), &protocol,
                    sizeof protocol) &&
        protocol == PROTOCOL)
        return 1;
    target->journal = 0;
    return failed(failure, "injection-failed", "an agent of another release is in the process");
}

// Loads the resident unless it is there already.
int resident_load(struct target *target, struct failure *failure)
{
    WCHAR path[2 * MAX_PATH];
    if (resident_find(target, failure))
        return 1;
    if (failure->slug)
        return 0;
    u32 length = own_library(path, sizeof path / sizeof *path);
    if (!length)
        return failed(failure, "injection-failed", "the folder of hpagent.exe has too long a name");
    if (!load_there(target, path, length, failure))
        return 0;
    if (resident_find(target, failure))
        return 1;
    return failure->slug ? 0 : failed_there(target, failure, "the process refused to load hpagent.dll");
}
