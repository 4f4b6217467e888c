"""Files and bytes to ``Image``: pre-flight, mapping, cross-check with pefile."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import CLR, LOAD_CONFIG
from hpbuild.pe.arrangement import Layout
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file
from hpbuild.pe.image import Image
from hpbuild.pe.preflight import COMIMAGE_FLAGS_ILONLY, MACHINE_X64, Headers, preflight

_CHPE_METADATA_POINTER = 0xC8


def read_image(path: Path) -> Image:
    """Read and parse the PE file at ``path``; the image is named by the file's name.

    Raises HpbuildError: HP1001 to HP1008 for the file, else as ``parse_image``.
    """
    return parse_image(read_file(path), path.name)


def parse_image(content: bytes | FileBytes, name: str) -> Image:
    """Parse the file bytes of a PE32+ image for x64; ``name`` is only for messages and ``Image.name``.

    Raises HpbuildError with HP1010 to HP1033.
    """
    data = FileBytes.of(content)
    headers = preflight(data, name)
    _cross_check(data, name, headers)
    optional = headers.optional
    image = Image(
        name=name,
        data=data,
        memory=_map(data, headers),
        machine=MACHINE_X64,
        image_base=optional.image_base,
        entry_point=optional.entry_point,
        time_date_stamp=headers.time_date_stamp,
        checksum=optional.checksum,
        size_of_image=optional.size_of_image,
        size_of_headers=optional.size_of_headers,
        section_alignment=optional.section_alignment,
        file_alignment=optional.file_alignment,
        linker_version=optional.linker_version,
        characteristics=headers.characteristics,
        dll_characteristics=optional.dll_characteristics,
        subsystem=optional.subsystem,
        sections=headers.sections,
        directories=headers.directories,
    )
    _refuse_managed(image)
    _refuse_hybrid(image)
    return image


def _map(data: FileBytes, headers: Headers) -> npt.NDArray[np.uint8]:
    """The image as the loader maps it: headers, then each section's file bytes, zeros elsewhere."""
    optional = headers.optional
    layout = Layout.of(
        optional.size_of_image, optional.size_of_headers, optional.section_alignment, headers.raw_sections
    )
    if data.mapped is not None and data.mapped.layout == layout:
        return np.frombuffer(data.mapped.memory, dtype=np.uint8)
    memory = np.zeros(layout.size, dtype=np.uint8)
    for run in layout.runs:
        at = run.rva
        for piece in data.pieces(run.offset, run.offset + run.size):
            memory[at : at + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            at += len(piece)
    memory.setflags(write=False)
    return memory


def _cross_check(data: FileBytes, name: str, headers: Headers) -> None:
    """Compare with pefile's reading of sections, directories and entry point (HP1033)."""
    import pefile

    try:
        other = pefile.PE(data=data, fast_load=True)
    except (pefile.PEFormatError, struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise HpbuildError(codes.AMBIGUOUS_IMAGE, name, f"pefile refuses the image: {error}") from error
    sections = tuple(
        (s.Misc_VirtualSize, s.VirtualAddress, s.SizeOfRawData, s.PointerToRawData) for s in other.sections
    )
    optional = other.OPTIONAL_HEADER
    directories = [(d.VirtualAddress, d.Size) for d in optional.DATA_DIRECTORY]
    directories += [(0, 0)] * (len(headers.directories) - len(directories))
    checks = (
        ("sections", headers.raw_sections, sections),
        ("directories", [(d.start, len(d)) for d in headers.directories], directories),
        ("entry point", headers.optional.entry_point, optional.AddressOfEntryPoint),
        ("image base", headers.optional.image_base, optional.ImageBase),
        ("size of image", headers.optional.size_of_image, optional.SizeOfImage),
    )
    for what, ours, theirs in checks:
        if ours != theirs:
            raise HpbuildError(codes.AMBIGUOUS_IMAGE, name, f"{what}: {ours} against pefile's {theirs}")


def _refuse_managed(image: Image) -> None:
    directory = image.directories[CLR]
    if len(directory) >= 20 and image.u32(directory.start + 16) & COMIMAGE_FLAGS_ILONLY:
        raise HpbuildError(codes.DOTNET_ONLY, image.name, "the CLR header has the ILONLY flag")


def _refuse_hybrid(image: Image) -> None:
    """ARM64EC images carry the x64 machine type; only CHPEMetadataPointer gives them away."""
    directory = image.directories[LOAD_CONFIG]
    if len(directory) < 4 or directory.start + _CHPE_METADATA_POINTER + 8 > image.size_of_image:
        return
    if image.u32(directory.start) >= _CHPE_METADATA_POINTER + 8 and image.u64(
        directory.start + _CHPE_METADATA_POINTER
    ):
        raise HpbuildError(codes.ARM64_HYBRID, image.name, "the load configuration has hybrid metadata")
