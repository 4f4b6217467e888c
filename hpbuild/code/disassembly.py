"""Machine code as text, for people. Nothing is decided from it."""

from collections.abc import Iterator

from iced_x86 import Decoder, Formatter, FormatterSyntax

BITNESS = 64


def disassemble(data: bytes, rva: int) -> list[tuple[int, str, str]]:
    """The instructions of ``data``, which starts at ``rva``, as (rva, bytes in hex, text).

    Bytes that are no instruction appear one by one as ``(bad)``. Intel syntax, as Intel's manual
    (volume 2) writes it; branch targets and RIP-relative operands are shown as RVAs."""
    return list(_instructions(data, rva))


def _instructions(data: bytes, rva: int) -> Iterator[tuple[int, str, str]]:
    decoder = Decoder(BITNESS, data, ip=rva)
    formatter = Formatter(FormatterSyntax.INTEL)
    formatter.hex_prefix = "0x"
    formatter.hex_suffix = ""
    formatter.uppercase_hex = False
    formatter.branch_leading_zeros = False
    formatter.space_after_operand_separator = True
    while decoder.can_decode:
        start = decoder.position
        instruction = decoder.decode()
        if instruction.is_invalid:
            decoder.position = start + 1
            decoder.ip = rva + start + 1
            yield rva + start, data[start : start + 1].hex(), "(bad)"
            continue
        raw = data[start : start + instruction.len]
        yield rva + start, raw.hex(), formatter.format(instruction)
