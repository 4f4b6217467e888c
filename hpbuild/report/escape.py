"""Text that comes from files, made safe for a terminal.

A function name in a symbol table may hold escape sequences that rewrite the screen, or direction
marks that reorder it (Unicode Standard Annex 9). Whatever is not a visible character is spelled out.
"""


def escape(text: str) -> str:
    """``text`` with every control, format, surrogate, private or unassigned character and every line or
    paragraph separator spelled as ``\\xNN``, ``\\uNNNN`` or ``\\UNNNNNNNN``. Spaces stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(ord(char)) for char in text)


def _spelled(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
