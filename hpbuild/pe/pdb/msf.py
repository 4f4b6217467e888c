"""The multi-stream file (MSF 7.00) that holds a PDB's streams.

Source of the format: the LLVM project's "The MSF File Format". A file is a row of equal blocks; block 0
starts with the superblock, the stream directory lists the size and the blocks of every stream.
"""

import struct

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import NOT_A_PDB, PDB_CONTAINER_MALFORMED, PDB_LIMIT
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import distinct

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
MAX_FILE_SIZE = 2 << 30
MAX_STREAMS = 0xFFFF
NIL_STREAM_SIZE = 0xFFFFFFFF
_SUPERBLOCK = struct.Struct("<32s6I")
_BLOCK_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class Msf:
    """An opened container: ``data`` the file, ``sizes`` bytes of every stream (0 for a nil stream),
    ``first`` index of a stream's first entry in ``blocks``, the block numbers of all streams in order.
    """

    name: str
    data: bytes
    block_size: int
    sizes: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.uint32]

    def has(self, index: int) -> bool:
        """True when there is a stream ``index`` that is not nil or empty."""
        return 0 <= index < len(self.sizes) and int(self.sizes[index]) > 0

    def stream(self, index: int, limit: int | None = None) -> bytes:
        """The bytes of stream ``index``, at most the first ``limit``; b'' for a stream that is not there."""
        if not self.has(index):
            return b""
        size = int(self.sizes[index])
        if limit is not None:
            size = min(size, limit)
        start = int(self.first[index])
        chosen = self.blocks[start : start + -(-size // self.block_size)]
        return _gather(self.data, self.block_size, chosen)[:size].tobytes()


def open_msf(data: bytes, name: str) -> Msf:
    """Check the superblock and the stream directory of ``data``; ``name`` is used in refusals.

    Every block number is inside the file and belongs to at most one stream, so that no set of streams is
    larger than the file. Raises HpbuildError NOT_A_PDB, PDB_CONTAINER_MALFORMED or PDB_LIMIT.
    """
    if len(data) > MAX_FILE_SIZE:
        raise HpbuildError(PDB_LIMIT, name, f"{len(data)} bytes, the limit is {MAX_FILE_SIZE}")
    if len(data) < _SUPERBLOCK.size or not data.startswith(MAGIC):
        raise HpbuildError(NOT_A_PDB, name, "the file does not start with the MSF 7.00 signature")
    _, block_size, _, block_count, directory_size, _, map_block = _SUPERBLOCK.unpack_from(data)
    if block_size not in _BLOCK_SIZES:
        raise _damaged(name, f"block size {block_size}")
    if block_count * block_size > len(data):
        raise _damaged(name, f"{block_count} blocks of {block_size} bytes in a file of {len(data)} bytes")
    directory_blocks = -(-directory_size // block_size)
    if directory_size < 4 or directory_size % 4 or directory_blocks > block_size // 4:
        raise _damaged(name, f"stream directory of {directory_size} bytes")
    if not 0 < map_block < block_count:
        raise _damaged(name, f"directory map in block {map_block} of {block_count}")
    numbers = np.frombuffer(data, dtype="<u4", count=directory_blocks, offset=map_block * block_size)
    _check_blocks(numbers, block_count, name)
    directory = _gather(data, block_size, numbers)[:directory_size].view("<u4")
    sizes, first, blocks = _streams(directory, block_size, block_count, name)
    return Msf(name=name, data=data, block_size=block_size, sizes=sizes, first=first, blocks=blocks)


def _streams(
    directory: npt.NDArray[np.uint32], block_size: int, block_count: int, name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Sizes, index of the first block, and block numbers of the streams in the directory."""
    count = int(directory[0])
    if count > MAX_STREAMS:
        raise HpbuildError(PDB_LIMIT, name, f"{count} streams, the limit is {MAX_STREAMS}")
    if count > len(directory) - 1:
        raise _damaged(name, f"{count} streams in a directory of {4 * len(directory)} bytes")
    sizes = directory[1 : 1 + count].astype(np.int64)
    sizes[sizes == NIL_STREAM_SIZE] = 0
    lengths = -(-sizes // block_size)
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    total = int(first[-1])
    blocks = directory[1 + count :]
    if total > block_count or total > len(blocks):
        raise _damaged(name, f"streams of {total} blocks, the file has {block_count}")
    blocks = blocks[:total]
    # Stream 0 is the previous directory; its blocks are free and may have been given to another stream.
    _check_blocks(blocks[int(first[min(1, count)]) :], block_count, name)
    _check_blocks(blocks[: int(first[min(1, count)])], block_count, name)
    return sizes, first[:-1], blocks


def _check_blocks(blocks: npt.NDArray[np.uint32], block_count: int, name: str) -> None:
    if len(blocks) and (int(blocks.max()) >= block_count or int(blocks.min()) == 0):
        raise _damaged(name, f"a block number outside 1..{block_count - 1}")
    if len(distinct(blocks)) != len(blocks):
        raise _damaged(name, "a block is listed twice")


def _gather(data: bytes, block_size: int, blocks: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    whole = len(data) // block_size
    grid = np.frombuffer(data, dtype=np.uint8, count=whole * block_size).reshape(whole, block_size)
    return grid[blocks].reshape(-1)


def _damaged(name: str, cause: str) -> HpbuildError:
    return HpbuildError(PDB_CONTAINER_MALFORMED, name, cause)
