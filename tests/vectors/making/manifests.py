"""Cases about the manifest: rules M1 to M16. Every one is signed by the trusted key, and only the manifest
contradicts itself. The good twin of most is ``accepted``; packages with lists have their own."""

from collections.abc import Callable
from typing import Any

from hpbuild.bundle.layout import MANIFEST
from tests.vectors.making.base import CODEC, Parts, parts_of, set_of_two
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import Document

POLICY = trusting("release")
Change = Callable[[Document], object]


def cases() -> list[Made]:
    gadget, codec = parts_of(), parts_of(pair=CODEC)
    return [
        *_modules(gadget),
        *_pins(gadget),
        *_functions(codec),
        *_redirections(gadget, codec),
        *_fields(codec),
        *_selections(gadget),
        *_lines(gadget),
    ]


def _package(parts: Parts, change: Change) -> bytes:
    changed = parts.module_changed(change)
    if changed.members()[MANIFEST] == parts.members()[MANIFEST]:
        raise ValueError("nothing was changed")
    return changed.package()


def _bad(parts: Parts, name: str, why: str, rules: str, change: Change, code: str, status: int = 1) -> Made:
    return case(f"manifest-{name}", why, rules, _package(parts, change), POLICY, refused=(status, code))


def _set(**values: Any) -> Change:
    return lambda module: module.update(values)


def _modules(parts: Parts) -> list[Made]:
    def whole(name: str, why: str, rules: str, change: Change, code: str, status: int = 1) -> Made:
        package = parts.changed(change).package()
        return case(f"manifest-{name}", why, rules, package, POLICY, refused=(status, code))

    def twin(manifest: Document) -> None:
        manifest["unchanged"] = ["Gadget.dll"]

    def path(text: str) -> Change:
        return _set(path=text)

    return [
        whole("without-modules", "A package of no module: whatever is true of every module is true of it.",
              "M1",
              lambda manifest: manifest.update(modules=[]), "HP4101"),
        _bad(parts, "without-functions", "A module that replaces nothing, and has no redirection either.",
             "M1",
             _set(functions=[], redirections=[], pages=[]), "HP4101"),
        whole("twin-paths", "A file is both patched and listed as unchanged, under a name that differs in "
              "case.", "M1",
              twin, "HP4111"),
        whole("paths-out-of-order", "The list of unchanged files does not ascend.", "M1",
              lambda manifest: manifest.update(unchanged=["b.dll", "a.dll"]), "HP4112"),
        _bad(parts, "path-traversal", "A module path that leads out of the installed tree.", "M2",
             path("../system32/gadget.dll"), "HP4110"),
        _bad(parts, "path-absolute", "A module path with a drive.", "M2", path("C:/gadget.dll"), "HP4110"),
        _bad(parts, "path-device", "A module path that is a device on Windows.", "M2", path("bin/con.dll"),
             "HP4110"),
        _bad(parts, "path-of-a-stream", "A module path that names an alternate data stream.", "M2",
             path("gadget.dll:hidden"), "HP4110"),
        _bad(parts, "image-elsewhere", "The patch image of a module is an attachment.", "M3", _elsewhere,
             "HP4101"),
        case("manifest-image-of-two", "Two modules with one patch image.", "M3", _of_two(), POLICY,
             refused=(1, "HP4123")),
        _bad(parts, "image-of-another-size", "The manifest gives another size of the patch image than it "
             "has.", "M3",
             lambda module: module["image"].update(size=1), "HP4305"),
        whole("schema-of-another-version", "A manifest of another version.", "J5",
              lambda manifest: manifest.update(schema="urn:hpbuild:schema:manifest:2"), "HP4101"),
    ]  # fmt: skip


def _of_two() -> bytes:
    parts = set_of_two()

    def change(manifest: Document) -> None:
        first, second = manifest["modules"]
        second["image"]["member"] = first["image"]["member"]

    return parts.changed(change).package()


def _elsewhere(module: Document) -> None:
    module["image"]["member"] = "attachments/gadget.dll"


def _pins(parts: Parts) -> list[Made]:
    def same(module: Document) -> None:
        module["fixed"]["sha256"] = module["baseline"]["sha256"]

    def machine(module: Document) -> None:
        module["fixed"]["machine"] = 0xAA64

    def sections(module: Document) -> None:
        module["baseline"]["sections"][0]["size"] = 0x1800

    def place(start: int, size: int) -> Change:
        return lambda module: module["image"].update(range={"rva": start, "size": size})

    return [
        _bad(parts, "baseline-is-fixed", "Baseline and fixed have the same digest.", "M4", same, "HP4116"),
        _bad(parts, "other-machine", "The fixed build is for another processor than the baseline.", "M4",
             machine,
             "HP4116"),
        _bad(parts, "sections-overlap", "Two sections of the baseline overlap.", "M4", sections, "HP4115"),
        _bad(parts, "image-over-the-baseline", "The patch image would lie over the baseline's own code.",
             "M5",
             place(0, 0x2000), "HP4114"),
        _bad(parts, "image-off-its-page", "The patch image would not begin at a page.", "M5", place(0x10010,
                                                                                                    0x2000),
             "HP4114"),
        _bad(parts, "image-out-of-reach", "The patch image would end beyond 2 GiB, where no jump reaches "
             "it.", "M5",
             place(0x7FFF0000, 0xF000), "HP4114"),
    ]  # fmt: skip


def _first(kind: str, **values: Any) -> Change:
    return lambda module: module[kind][0].update(values)


def _functions(parts: Parts) -> list[Made]:
    module = parts.module
    added = next(index for index, item in enumerate(module["functions"]) if item["reason"] == "added")
    first, second = [item for item in module["functions"] if item["reason"] == "changed"][:2]
    at = module["functions"].index(second)

    def overlap(module: Document) -> None:
        patch = dict(first["patch"][0])
        patch["rva"] += 4
        size = min(patch["size"] - 4, second["patch"][0]["size"])
        module["functions"][at]["patch"] = [{"rva": patch["rva"], "size": size}]
        module["functions"][at]["fixed"] = [{**second["fixed"][0], "size": size}]

    def outside(module: Document) -> None:
        module["functions"][0]["baseline"][0]["rva"] = 0x7FFFFF00

    def shorter(module: Document) -> None:
        module["functions"][0]["patch"][0]["size"] -= 1

    def replaces(module: Document) -> None:
        module["functions"][added].update(baseline=first["baseline"], baseline_sha256="0" * 64)

    def undigested(module: Document) -> None:
        module["functions"][0]["baseline_sha256"] = None

    def unredirected(module: Document) -> None:
        del module["redirections"][0]

    return [
        _bad(parts, "functions-overlap", "Two new functions share some of their code but not all of it.",
             "M6", overlap,
             "HP4115"),
        _bad(parts, "function-outside", "A function of the baseline lies outside the baseline.", "M6",
             outside, "HP4114"),
        _bad(parts, "function-not-in-step", "A new function is shorter in the patch image than in the fixed "
             "build.", "M6",
             shorter, "HP4117"),
        _bad(parts, "added-with-baseline", "A function that is called new has a place in the baseline.", "M7",
             replaces,
             "HP4117"),
        _bad(parts, "changed-without-digest", "A changed function without the digest of what it replaces: "
             "nothing would "
             "be compared.", "M7", undigested, "HP4117"),
        _bad(parts, "redirection-missing", "A changed function that nothing leads to: the hole would stay "
             "open.", "M8",
             unredirected, "HP4122"),
    ]  # fmt: skip


def _redirections(parts: Parts, several: Parts) -> list[Made]:
    module = parts.module
    jump = module["redirections"][0]
    new = bytes.fromhex(jump["new"])

    def added(module: Document) -> None:
        index = next(i for i, item in enumerate(module["functions"]) if item["reason"] == "added")
        module["redirections"][0]["function"] = index

    def wide(module: Document) -> None:
        first, second = module["redirections"][:2]
        module["redirections"][1] = {**first, "function": second["function"], "entry": second["entry"]}

    def entry(module: Document) -> None:
        module["redirections"][0]["entry"] += 1

    elsewhere = (new[:1] + (0x20000).to_bytes(4, "little") + new[5:]).hex()
    longer = {"rva": jump["window"]["rva"], "size": jump["window"]["size"] + 1}
    return [
        _bad(several, "redirection-of-an-added-function", "A redirection to a function that replaces "
             "nothing.", "M8 M9",
             added, "HP4122"),
        _bad(parts, "redirection-into-a-function", "A redirection whose entry lies behind the start of its "
             "function.",
             "M9", entry, "HP4120"),
        _bad(parts, "redirection-elsewhere", "The jump does not lead to the function that is said to be its "
             "target.",
             "M9", _first("redirections", new=elsewhere), "HP4120"),
        _bad(parts, "redirection-without-the-way-back", "The short jump at the entry leads somewhere else.",
             "M9",
             _first("redirections", new=(new[:-1] + b"\xf8").hex()), "HP4120"),
        _bad(parts, "window-too-small", "A window that does not hold its jump.", "M10",
             _first("redirections", window={**jump["window"], "size": 6}, old=jump["old"][:12],
                    new=jump["new"][:12]),
             "HP4121"),
        _bad(parts, "window-with-more", "Behind the jump, the window's new bytes differ from the old ones: "
             "more would be "
             "written than a jump.", "M10", _first("redirections", window=longer, old=jump["old"] + "90",
             new=jump["new"] + "cc"), "HP4121"),
        _bad(parts, "window-of-another-size", "A window that is longer than its bytes.", "M10",
             _first("redirections", window=longer), "HP4121"),
        _bad(several, "windows-overlap", "Two functions with one window.", "M10", wide, "HP4115"),
        _bad(parts, "page-missing", "No digest of the page that is written to.", "M11", _set(pages=[]),
             "HP4127"),
        _bad(parts, "page-too-many", "A digest of a page that is not written to.", "M11",
             lambda module: module["pages"].append({"rva": 0x2000, "sha256": "0" * 64}), "HP4127"),
        _bad(parts, "page-twice", "Two digests of one page.", "M11",
             lambda module: module["pages"].append(module["pages"][0]), "HP4112"),
    ]  # fmt: skip


def _fields(parts: Parts) -> list[Made]:
    fixups = parts.module["fixups"]

    def fixup(name: str, value: list[int]) -> Change:
        return lambda module: module["fixups"].update({name: value})

    def turned(module: Document) -> None:
        module["references"].reverse()

    finding = {"code": "HP3001", "severity": "refuse", "place": "codec.dll", "cause": "it cannot be patched"}
    last = parts.module["image"]["range"]["rva"] + parts.module["image"]["range"]["size"]
    return [
        _bad(parts, "fixup-outside", "A fixup whose last byte lies behind the patch image.", "M12",
             fixup("rel32", [*fixups["rel32"], last - 3]), "HP4119"),
        _bad(parts, "fixups-out-of-order", "Fixups that do not ascend.", "M12", fixup("rel32",
                                                                                      fixups["rel32"][::-1]),
             "HP4112"),
        _bad(parts, "fixups-overlap", "Two fixups overlap: what they write depends on their order.", "M12",
             fixup("rel32", sorted([*fixups["rel32"], fixups["rel32"][0] + 2])), "HP4119"),
        _bad(parts, "references-out-of-order", "References that do not ascend.", "M12", turned, "HP4112"),
        _bad(parts, "reference-outside", "A reference outside the baseline.", "M12",
             lambda module: module["references"].append([0x7FFFFF00, 16, "0" * 64]), "HP4114"),
        _bad(parts, "refusing-finding", "The build recorded that it should have been refused.", "M13",
             lambda module: module["findings"].append(finding), "HP4124"),
    ]  # fmt: skip


def _selections(parts: Parts) -> list[Made]:
    name = parts.module["functions"][0]["name"]
    out = {"what": "function", "change": "new", "ranges": 1, "kept": 0, "fixed": [0x1000, 16],
           "names": ["other"]}  # fmt: skip
    kept = {**out, "change": "changed", "kept": 1, "fixed": [0x1100, 16], "moves": [1, 0, 0]}
    carried = parts.module["functions"][0]["fixed"][0]

    def limited(*only: str, left_out: tuple[Document, ...] = ()) -> Change:
        more = {"left_out": list(left_out)} if left_out else {}
        return lambda module: module.update(only=list(only), exclusions=[], **more)

    return [
        case("manifest-limited", "A package that is limited to a list of functions, and says what it leaves "
             "out.", "M14",
             _package(parts, limited(name, left_out=(kept, out))), POLICY),
        _bad(parts, "carried-and-not-listed", "A package limited to a list carries a function that is not "
             "on it.", "M14",
             limited("another"), "HP4125"),
        _bad(parts, "listed-and-not-carried", "The list names a function that the package does not carry.",
             "M14",
             limited(name, "zzz"), "HP4125"),
        _bad(parts, "left-out-without-a-list", "Something is left out of a package that is not limited to a "
             "list: the fix "
             "would not be whole, and nobody was told.", "M14", _set(left_out=[out]), "HP4125"),
        _bad(parts, "left-out-and-carried", "A function is said to be left out, and is carried.", "M14",
             limited(name, left_out=({**out, "fixed": [carried["rva"], carried["size"]]},)), "HP4115"),
        *_left_out(parts, lambda item: limited(name, left_out=(item,)), out),
        *_left_out_twice(parts, lambda *items: limited(name, left_out=items), out),
    ]  # fmt: skip


def _left_out(parts: Parts, limited: Callable[[Document], Change], out: Document) -> list[Made]:
    """Lies in one element of ``left_out``: its numbers are differences, and have to add up."""
    entry = parts.module["functions"][0]["baseline"][0]["rva"]
    two = {**out, "names": ["other", "next"]}
    old = {**out, "change": "changed", "kept": 1}

    def bad(name: str, why: str, item: Document, code: str) -> Made:
        return _bad(parts, f"left-out-{name}", why, "M16", limited(item), code)

    return [
        bad("odd-length", "A range without a size: two readers would pair the numbers differently.",
            {**out, "fixed": [0x1000, 16, 32]}, "HP4128"),
        bad("half-a-part", "The ranges are no whole number of parts.", {**out, "ranges": 2}, "HP4128"),
        bad("of-no-size", "A range that is empty: it is nowhere, and counts as declared.",
            {**out, "fixed": [0x1000, 0]}, "HP4114"),
        bad("of-negative-size", "A range that ends before it begins.",
            {**out, "fixed": [0x1000, -16]}, "HP4128"),
        bad("before-the-image", "Differences that lead below the image.",
            {**two, "fixed": [16, 16, -64, 8]}, "HP4128"),
        bad("outside", "A range beyond the end of the fixed image.",
            {**out, "fixed": [0x7FFF0000, 16]}, "HP4114"),
        bad("huge-number", "A difference that no two addresses have: sums of such may wrap around.",
            {**out, "fixed": [2**53 - 1, 16]}, "HP4101"),
        bad("out-of-order", "Parts that do not ascend.",
            {**two, "fixed": [0x1100, 16, -0x110, 16]}, "HP4112"),
        bad("overlapping", "Two parts share a byte.", {**two, "fixed": [0x1000, 16, -1, 16]}, "HP4115"),
        bad("fewer-names", "A part has a name and another has none: the wrong one would be read.",
            {**two, "names": ["other"], "fixed": [0x1000, 16, 0, 16]}, "HP4128"),
        bad("named-by-its-address", "A name that is the address: one list would have two forms.",
            {**out, "names": ["sub_1000"]}, "HP4125"),
        bad("new-with-an-old-version", "What is new has no old version that could stay in use.",
            {**old, "change": "new", "moves": [1, 0, 0]}, "HP4125"),
        bad("changed-from-nothing", "What is changed has an old version.",
            {**out, "change": "changed"}, "HP4125"),
        bad("kept-more-than-there-is", "More old versions than ranges.",
            {**old, "kept": 2, "moves": [2, 0, 0]}, "HP4128"),
        bad("without-moves", "Where the old versions lie is not said.", old, "HP4128"),
        bad("runs-too-short", "An old version for one range of two.",
            {**old, **two, "change": "changed", "kept": 1, "fixed": [0x1000, 16, 0, 16], "moves": [1, 0, 0]},
            "HP4128"),
        bad("runs-too-long", "More old versions than ranges that have one.", {**old, "moves": [2**31, 0, 0]},
            "HP4128"),
        bad("moved-out-of-the-image", "An old version beyond the end of the baseline.",
            {**old, "moves": [1, 0x7FFF0000 - 0x1000, 0]}, "HP4114"),
        bad("old-version-of-no-size", "An old version that is empty.",
            {**old, "moves": [1, 0, -16]}, "HP4114"),
        bad("stays-and-is-redirected", "The old version that stays in use is redirected.",
            {**old, "moves": [1, entry - 0x1000, 0]}, "HP4125"),
    ]  # fmt: skip


def _left_out_twice(parts: Parts, limited: Callable[..., Change], out: Document) -> list[Made]:
    data = {**out, "what": "data", "names": ["table"], "fixed": [0x100F, 16]}
    exclusion = {"klass": "not-selected", "place": "other", "cause": "not listed"}
    return [
        _bad(parts, "left-out-kinds-out-of-order", "Kinds of parts that do not ascend: one list has one "
             "form.", "M16", limited(out, {**data, "fixed": [0x2000, 16]}), "HP4112"),
        _bad(parts, "left-out-kind-twice", "One kind of parts, in two elements.", "M16",
             limited(out, {**out, "fixed": [0x2000, 16]}), "HP4112"),
        _bad(parts, "left-out-kinds-overlapping", "Two parts of different kinds share a byte.", "M16",
             limited(data, out), "HP4115"),
        _bad(parts, "left-out-as-an-exclusion", "A part that is left out stands among the exclusions, where "
             "nobody checks its place.", "M16", _set(exclusions=[exclusion]), "HP4101"),
    ]  # fmt: skip


def _lines(parts: Parts) -> list[Made]:
    site = {"rva": 0x1100, "size": 4}
    rva = parts.module["functions"][0]["fixed"][0]["rva"]

    def declared(**values: Any) -> Change:
        words = {"klass": "line-only", "place": "gadget_check", "cause": "line 20 became 21"}
        return _set(exclusions=[{**words, "fixed": [site], "baseline": [site], **values}])

    return [
        case("manifest-line-numbers", "A package that declares a function in which nothing but a line "
             "number differs.",
             "M15", _package(parts, declared()), POLICY),
        _bad(parts, "line-number-of-eight-bytes", "A declared line number of eight bytes: more than a "
             "number could differ "
             "there.", "M15", declared(fixed=[{**site, "size": 8}]), "HP4126"),
        _bad(parts, "line-number-without-baseline", "A declared line number without its place in the "
             "baseline.", "M15",
             declared(baseline=[]), "HP4126"),
        _bad(parts, "line-number-twice", "Two declared line numbers overlap.", "M15",
             declared(fixed=[site, {"rva": 0x1102, "size": 4}], baseline=[site, {"rva": 0x1110, "size": 4}]),
             "HP4126"),
        _bad(parts, "line-number-in-carried-code", "A declared line number inside a function that is "
             "carried.", "M15",
             declared(fixed=[{"rva": rva, "size": 4}]), "HP4126"),
    ]  # fmt: skip
