"""The result of ``export``."""

import hashlib
from typing import TYPE_CHECKING

from hpbuild.report.blocks import Block, Heading, Line, Pairs, Tone
from hpbuild.report.document import Document, start

if TYPE_CHECKING:
    from hpbuild.sign.export import Exported

_FORMS = {"cms": "CMS SignedData (RFC 5652), DER", "sigstore": "Sigstore bundle v0.3, JSON"}


def document(path: str, exported: "Exported", content: str | None) -> Document:
    """``path`` is the written file, ``content`` that of the detached content."""
    return {
        **start("export"),
        "path": path,
        "form": exported.form,
        "sha256": hashlib.sha256(exported.data).hexdigest(),
        "content": content,
        "signature": {
            "number": exported.number,
            "of": exported.signatures,
            "key_hint": exported.keyid,
            "certificates": [
                {"subject": item.subject, "sha256": item.sha256} for item in exported.certificates
            ],
            "timestamps": exported.timestamps,
        },
    }


def blocks(result: Document) -> list[Block]:
    """What was written, and how to check it with the tool that it is for."""
    signature = result["signature"]
    rows = [
        ("written", result["path"]),
        ("form", _FORMS[result["form"]]),
        ("sha256", result["sha256"]),
        ("signature", f"{signature['number']} of {signature['of']}"),
        *(("certificate", item["subject"]) for item in signature["certificates"]),
        ("time stamps", str(signature["timestamps"])),
    ]
    if result["content"] is not None:
        rows.insert(1, ("content", result["content"]))
    shown: list[Block] = [Pairs(tuple(rows))]
    if result["form"] == "cms":
        content = f" -content {result['content']}" if result["content"] is not None else ""
        command = f"openssl cms -verify -binary -inform DER -in {result['path']}{content}"
        shown += [Heading("check it with"), Line(f"  {command} -purpose any -CAfile ROOT.pem", Tone.FAINT)]
    return shown
