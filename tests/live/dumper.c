// Writes a minidump of another process: dumper.exe FILE TYPE WINDOWS_PID; TYPE 2 is a dump with full memory.
#include <stdlib.h>
#include <windows.h>

typedef BOOL(WINAPI *write_dump)(HANDLE, DWORD, HANDLE, int, void *, void *, void *);

int main(int count, char **words)
{
    if (count != 4)
        return 2;
    DWORD pid = strtoul(words[3], 0, 0);
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, pid);
    HANDLE file = CreateFileA(words[1], GENERIC_READ | GENERIC_WRITE, 0, 0, CREATE_ALWAYS, 0, 0);
    write_dump write = (write_dump)(void *)GetProcAddress(LoadLibraryA("dbghelp.dll"), "MiniDumpWriteDump");
    return write && write(process, pid, file, (int)strtol(words[2], 0, 0), 0, 0, 0) ? 0 : 1;
}
