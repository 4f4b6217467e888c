// stander.exe WINDOWS_PID ADDRESS: holds a new thread of that process with its instruction pointer at ADDRESS.
// Says `standing`, ends the thread at the end of input, and itself.
#include <windows.h>

static unsigned long long number(const char **text, int base)
{
    unsigned long long value = 0;
    while (**text == ' ')
        ++*text;
    for (int digit;; ++*text) {
        digit = **text >= '0' && **text <= '9' ? **text - '0' : (**text | 32) >= 'a' ? (**text | 32) - 'a' + 10 : 99;
        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

int main(int count, char **arguments)
{
    const char *pid = arguments[1], *address = arguments[2];
    if (count != 3)
        return 2;
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, (DWORD)number(&pid, 10));
    HANDLE thread = process ? CreateRemoteThread(process, 0, 0, (LPTHREAD_START_ROUTINE)Sleep, (void *)600000, 0, 0) : 0;
    CONTEXT context = {.ContextFlags = CONTEXT_FULL};
    Sleep(100); // it is to be in its Sleep
    if (!thread || SuspendThread(thread) == (DWORD)-1 || !GetThreadContext(thread, &context))
        return 1;
    context.Rip = number(&address, 16);
    if (!SetThreadContext(thread, &context))
        return 1;
    DWORD done;
    char byte;
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "standing\n", 9, &done, 0);
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &byte, 1, &done, 0) && done)
        ;
    TerminateThread(thread, 0);
    return 0;
}
