// Lengths of x64 instructions (Intel 64 manual, volume 2, appendix A): enough to know where a thread can stand inside
// the bytes of an entry.
#include "decode.h"

enum { M = 1, B = 2, Z = 4, P = 8, X = 16, V = 32, W = 64, O = 128 };
// M: ModRM. B: 8-bit, Z: 32-bit (16 with 66), W: 16-bit immediate. V: as Z, 64-bit with REX.W. O: 64-bit address.
// P: prefix. X: none in 64-bit mode.

static const u8 one_byte[256] = {
    M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X, M, M, M, M, B, Z, X, X, // 00
    M, M, M, M, B, Z, P, X, M, M, M, M, B, Z, P, X, M, M, M, M, B, Z, P, X, M, M, M, M, B, Z, P, X, // 20
    P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 40
    X, X, X, M, P, P, P, P, Z, M | Z, B, M | B, 0, 0, 0, 0, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, // 60
    M | B, M | Z, X, M | B, M, M, M, M, M, M, M, M, M, M, M, M, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, X, 0, 0, 0, 0, 0, // 80
    O, O, O, O, 0, 0, 0, 0, B, Z, 0, 0, 0, 0, 0, 0, B, B, B, B, B, B, B, B, V, V, V, V, V, V, V, V, // A0
    M | B, M | B, W, 0, X, X, M | B, M | Z, W | B, 0, W, 0, 0, B, X, 0, M, M, M, M, X, X, X, 0, M, M, M, M, M, M, M, M, // C0
    B, B, B, B, B, B, B, B, Z, Z, X, B, 0, 0, 0, 0, P, 0, P, P, 0, 0, M, M, 0, 0, 0, 0, 0, 0, M, M, // E0
};

// Bytes of a ModRM byte, its SIB byte and its displacement.
static u32 modrm_length(const u8 *at)
{
    u32 mode = at[0] >> 6, memory = at[0] & 7, length = 1;
    if (mode == 3)
        return 1;
    if (memory == 4) {
        length++;
        if (mode == 0 && (at[1] & 7) == 5)
            length += 4;
    }
    if (mode == 0 && memory == 5)
        length += 4;
    return length + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

// What follows an opcode of the map 0F; ModRM unless said otherwise.
static u32 two_byte(u8 opcode)
{
    if (opcode >= 0x80 && opcode <= 0x8F)
        return Z;
    if ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xA4 || opcode == 0xAC || opcode == 0xBA ||
        opcode == 0xC2 || (opcode >= 0xC4 && opcode <= 0xC6))
        return M | B;
    if ((opcode >= 0x05 && opcode <= 0x09) || opcode == 0x0B || (opcode >= 0x30 && opcode <= 0x37) || opcode == 0x77 ||
        (opcode >= 0xA0 && opcode <= 0xA2) || (opcode >= 0xA8 && opcode <= 0xAA) || opcode >= 0xC8)
        return opcode >= 0xD0 ? M : 0;
    return M;
}

// VEX and EVEX: `map` selects 0F, 0F38 or 0F3A.
static u32 vector_length(const u8 *code, u32 prefix, u32 map)
{
    u32 needs = map == 1 ? two_byte(code[prefix]) : map == 2 ? M : map == 3 ? M | B : X;
    if (needs & X)
        return 0;
    u32 length = prefix + 1;
    if (needs & M)
        length += modrm_length(code + length);
    return length + (needs & B ? 1 : 0);
}

u32 instruction_length(const u8 *code)
{
    u32 at = 0, short_operand = 0, wide = 0, short_address = 0;
    for (; at < 12 && one_byte[code[at]] & P; at++) {
        int rex = (code[at] & 0xF0) == 0x40;
        short_operand |= code[at] == 0x66;
        short_address |= code[at] == 0x67;
        wide = rex && code[at] & 8;
        if (rex) {
            at++;
            break;
        }
    }
    u8 opcode = code[at];
    if (opcode == 0xC5)
        return vector_length(code, at + 2, 1);
    if (opcode == 0xC4)
        return vector_length(code, at + 3, code[at + 1] & 31);
    if (opcode == 0x62)
        return vector_length(code, at + 4, code[at + 1] & 7);
    u32 needs = one_byte[opcode];
    at++;
    if (opcode == 0x0F) {
        opcode = code[at++];
        needs = opcode == 0x38 ? M : opcode == 0x3A ? M | B : two_byte(opcode);
        at += opcode == 0x38 || opcode == 0x3A;
    } else if ((opcode == 0xF6 || opcode == 0xF7) && !(code[at] & 0x30)) {
        needs |= opcode == 0xF6 ? B : Z; // test
    }
    if (needs & (X | P))
        return 0;
    if (needs & M)
        at += modrm_length(code + at);
    at += (needs & B ? 1 : 0) + (needs & W ? 2 : 0);
    if (needs & (Z | V))
        at += needs & V && wide ? 8 : short_operand ? 2 : 4;
    return at + (needs & O ? (short_address ? 4 : 8) : 0);
}

static int is_call(const u8 *code, u32 length)
{
    u32 at = 0;
    while (at < length && one_byte[code[at]] & P)
        at++;
    return code[at] == 0xE8 || (code[at] == 0xFF && ((code[at + 1] >> 3 & 7) == 2 || (code[at + 1] >> 3 & 7) == 3));
}

struct borders borders_of(const u8 *code, u32 size)
{
    struct borders borders = {0, 0, 1};
    for (u32 at = 0; at < size;) {
        u32 length = instruction_length(code + at);
        if (!length)
            return (struct borders){0, 0, 0};
        int call = is_call(code + at, length);
        at += length;
        if (at < size) {
            borders.starts |= 1u << at;
            borders.returns |= call ? 1u << at : 0;
        }
    }
    return borders;
}
