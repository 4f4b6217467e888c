// lengths.exe FILE: for each record of 16 bytes of code, one byte with the length of its first instruction.
#include "decode.h"

int main(int count, char **arguments)
{
    static u8 codes[1 << 24], lengths[1 << 20];
    DWORD got = 0;
    HANDLE file = count == 2 ? CreateFileA(arguments[1], GENERIC_READ, 0, 0, OPEN_EXISTING, 0, 0) : 0;
    if (!file || !ReadFile(file, codes, sizeof codes, &got, 0))
        return 1;
    for (u32 i = 0; i < got / 16; i++)
        lengths[i] = (u8)instruction_length(codes + 16 * i);
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), lengths, got / 16, &got, 0);
    return 0;
}
