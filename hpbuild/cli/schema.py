"""``hpbuild schema``: the published JSON Schemas."""

from typing import Annotated

import typer

from hpbuild.cli.stdout import write_text
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError


def schema(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", show_default=False, help="A schema: manifest, or manifest-1.")
    ] = "",
) -> int:
    """Print a JSON Schema, or the names of all."""
    from hpbuild.manifest.schema import load_schema, names
    from hpbuild.report.document import json_text

    if not name:
        write_text("".join(f"{known}\n" for known in sorted(names())))
        return ExitStatus.YES
    matching = [known for known in sorted(names()) if name in (known, known.rpartition("-")[0])]
    if not matching:
        raise HpbuildError(codes.NO_SUCH_NAME, name, "no schema has this name")
    write_text(json_text(load_schema(matching[-1])))
    return ExitStatus.YES
