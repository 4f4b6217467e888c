"""Codes of the plan stage, third part (HP306x): how the two images were made, and of what types."""

from hpbuild.errors import Code, ExitStatus, Severity

TYPE_LAYOUT = Code(
    id="HP3060",
    title="the layout of a type changed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Objects that the process made before it is patched keep the old size and the old places of their"
    " fields. New code would read and write beside them, and fields that the fix adds hold whatever lies"
    " there. Neither image nor PDB tells which objects are alive.",
    remedy="Keep the type as it is in the fix: put new state into a variable or a table of its own that is"
    " looked up by the object's address, or into unused bits of a field. Otherwise ship with a restart.",
)
ENUMERATION_GREW = Code(
    id="HP3061",
    title="the last value of an enumeration moved",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="Mostly that is the count of the others and in no object. Where it is a value of its own, objects"
    " from before the patch keep the old number, which now means another one.",
    remedy="Look at the enumeration in the fix; add values at its end.",
)
LAYOUTS_NOT_COMPARED = Code(
    id="HP3062",
    title="the layouts of types were not compared",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="Only a PDB describes types. When a fix changes a structure, objects from before the patch have the"
    " old layout, and without symbols of both images nobody sees it.",
    remedy="Keep the PDBs beside both images, or check the fix for changed structures yourself.",
)
TOOLCHAIN_DIFFERS = Code(
    id="HP3063",
    title="baseline and fixed were built with different tools",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="Another compiler or linker makes other code from the same source: changed functions may have"
    " nothing to do with the fix, and the package grows by them.",
    remedy="Build the fixed image with the compiler, linker and libraries of the baseline.",
)
FIELDS_MOVED = Code(
    id="HP3064",
    title="a structure seems to have changed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="Several functions differ only in the distance at which they reach from a pointer, by the same"
    " amount: a field was added or removed in front of the fields that they use. Objects that the process"
    " made before it is patched have the old layout, and new code would read and write beside them. Without"
    " PDBs of both images it cannot be told which type that is, or whether such objects live on.",
    remedy="Look at the fix. If the structure outlives a call, do not use the package: ship with a restart,"
    " or change the fix so that the type stays as it is. With PDBs of both images the answer is certain.",
)

ROWS: tuple[Code, ...] = (
    TYPE_LAYOUT,
    ENUMERATION_GREW,
    LAYOUTS_NOT_COMPARED,
    TOOLCHAIN_DIFFERS,
    FIELDS_MOVED,
)
