"""Resources, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.resources import file_version, resource_digest, resources

AT = 0x2000
SUB = 1 << 31


def table(*rows, named=0, stamp=0):
    head = struct.pack("<IIHHHH", 0, stamp, 0, 0, named, len(rows) - named)
    return head + b"".join(struct.pack("<II", key, target) for key, target in rows)


def tree(content, *, stamp=0, kind=16, data_rva=AT + 0x100, size=None):
    """One resource: three tables at 0, 0x18 and 0x30, the data entry at 0x48, content at 0x100."""
    length = len(content) if size is None else size
    return (
        table((kind, SUB | 0x18), stamp=stamp)
        + table((1, SUB | 0x30), stamp=stamp)
        + table((0x409, 0x48), stamp=stamp)
        + struct.pack("<IIII", data_rva, length, 1252, 0)
    ).ljust(0x100, b"\0") + content


def version(numbers=(1, 2, 3, 4), key="VS_VERSION_INFO", signature=0xFEEF04BD):
    a, b, c, d = numbers
    head = struct.pack("<HHH", 92, 52, 0) + (key + "\0").encode("utf-16-le")
    return (
        head.ljust(40, b"\0") + struct.pack("<IIII", signature, 0x10000, a << 16 | b, c << 16 | d) + bytes(36)
    )


def image(pe, content):
    pe.table(2, content)
    return pe.image()


def test_none(pe):
    assert file_version(pe.image()) == ""
    assert resource_digest(pe.image()) is None


def test_real_version(codec, binaries):
    pefile = pytest.importorskip("pefile")
    other = pefile.PE(data=codec.data.whole())
    info = other.VS_FIXEDFILEINFO[0]
    high, low = info.FileVersionMS, info.FileVersionLS
    assert file_version(codec) == f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}" != ""


def test_version(pe):
    found = image(pe, tree(version((10, 0, 26100, 65535))))
    assert file_version(found) == "10.0.26100.65535"
    assert [r.path for r in resources(found)] == [(16, 1, 0x409)]


def test_other_resources_are_no_version(pe):
    assert file_version(image(pe, tree(version(), kind=24))) == ""


def test_version_without_fixed_part(pe):
    assert file_version(image(pe, tree(version(signature=0)))) == ""


@pytest.mark.parametrize("content", [version(key="VS_VERSION_INFX"), version()[:50]])
def test_damaged_version(pe, refuses, content):
    refuses(codes.RESOURCE_MALFORMED, file_version, image(pe, tree(content)))


def test_named_resource(pe):
    name = struct.pack("<H", 2) + "ID".encode("utf-16-le")
    content = bytearray(tree(b"x"))
    content[0x80:0x86] = name
    content[0:0x18] = table((SUB | 0x80, SUB | 0x18), named=1)
    assert resources(image(pe, bytes(content)))[0].path == ("ID", 1, 0x409)


def test_digest_ignores_stamps_and_place_but_not_content(pe):
    builder = type(pe)
    one = resource_digest(image(builder(), tree(b"abc")))
    assert one == resource_digest(image(builder(), tree(b"abc", stamp=77)))
    assert one == resource_digest(image(builder(), tree(b"___abc", data_rva=AT + 0x103, size=3)))
    assert one != resource_digest(image(builder(), tree(b"abd")))
    assert one != resource_digest(image(builder(), tree(b"abc", kind=17)))


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 8,
        table((16, SUB | 0x7FFFFFF0)),
        table((16, SUB | 0x1000)),
        struct.pack("<IIHHHH", 0, 0, 0, 0, 0xFFFF, 0xFFFF),
        table((SUB | 0xFFF0, SUB | 0x18), named=1) + bytes(32),
        tree(b"x", size=0xFFFFFFFF),
        tree(b"x", data_rva=0xFFFFFFFF),
    ],
)
def test_hostile_tree(pe, refuses, content):
    refuses(codes.RESOURCE_MALFORMED, resources, image(pe, content))


def test_content_that_shares_more_bytes_than_the_image_has(pe, refuses):
    rows = [(index, 0x2800 + 16 * index) for index in range(1, 1000)]
    content = table((10, SUB | 0x18)) + table((1, SUB | 0x30)) + table(*rows)
    content = content.ljust(0x2800, b"\0") + struct.pack("<IIII", 0x1000, 0x1000, 0, 0) * 1000
    refuses(codes.RESOURCE_MALFORMED, resources, image(pe, content))


@pytest.mark.parametrize(
    "content",
    [
        table((16, SUB)),
        table((16, SUB | 0x18)) + table((1, SUB)),
        table((16, SUB | 0x18)) + table((1, SUB | 0x30)) + table((9, SUB | 0x48)) + table((9, 0)),
        table((16, 0x18)) + bytes(16),
        table((16, SUB | 0x20), (17, SUB | 0x20)) + table((1, SUB | 0x38)) + table((9, 0x50)) + bytes(16),
    ],
)
def test_loops_shared_branches_and_wrong_depth(pe, refuses, content):
    refuses(codes.RESOURCE_LOOP, resources, image(pe, content))
