"""Decode the code of two files on two processes and count the instructions, nothing else.

    python -m bench.performance.decoding {iced|capstone} FILE FILE

This is what a comparison of two images that decodes everything cannot be faster than. Bytes that are no
instruction are passed over. Prints a JSON object: ``instructions``, ``bytes``, and ``cpu`` of the decoding.
"""

import json
import os
import sys
import time
from pathlib import Path

from bench.performance.sections import code_runs

WINDOW, LONGEST = 1 << 16, 15
"""Bytes that capstone gets at once, and of the longest instruction."""


def iced(code: bytes) -> int:
    """Instructions that iced-x86 finds; one byte that is none counts as one."""
    from iced_x86 import Decoder

    return sum(1 for _ in Decoder(64, code))


def capstone(code: bytes) -> int:
    """The same with capstone, in its form that makes tuples and no objects. It decodes all it is given before
    it hands out the first, so it gets a window at a time."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.skipdata = True
    count = begin = 0
    while begin < len(code):
        window = code[begin : begin + WINDOW]
        cut = WINDOW - LONGEST if begin + WINDOW < len(code) else WINDOW
        end = 0
        for address, size, _, _ in decoder.disasm_lite(window, 0):
            if address >= cut:
                break
            count += 1
            end = address + size
        begin += end
    return count


DECODERS = {"iced": iced, "capstone": capstone}


def counted(name: str, path: Path) -> tuple[int, int, float]:
    """Instructions, bytes and CPU seconds of the decoding of one file."""
    instructions = size = 0
    seconds = 0.0
    with path.open("rb") as stream:
        for offset, length in code_runs(path):
            stream.seek(offset)
            code = stream.read(length)
            begin = time.process_time()
            instructions += DECODERS[name](code)
            seconds += time.process_time() - begin
            size += len(code)
    return instructions, size, seconds


def main(name: str, *files: str) -> None:
    """A process for each file but the first."""
    pipes = []
    for file in files[1:]:
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, json.dumps(counted(name, Path(file))).encode())
            os._exit(0)
        os.close(write)
        pipes.append(read)
    rows = [counted(name, Path(files[0]))] if files else []
    for read in pipes:
        with os.fdopen(read, "rb") as stream:
            rows.append(tuple(json.load(stream)))
        os.wait()
    instructions, size, seconds = map(sum, zip(*rows, strict=True))
    print(json.dumps({"instructions": instructions, "bytes": size, "cpu": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
