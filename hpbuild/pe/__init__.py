"""Reading PE images: bytes to values. The only package that imports pefile and lief.

Format source throughout: Microsoft, "PE Format" (learn.microsoft.com/windows/win32/debug/pe-format) and
the structures of ``winnt.h``. Every table reader bounds counts by the bytes it has before it allocates.
"""
