"""Vendors without any code: what their manifests alone say of a field."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.manifest import VENDORS, load_manifest
from wedsync.model.items import ItemKind

_SETTINGS = """
settings:
  currency_digits:
    default: ISK=2 MGA=0 UGX=2
    description: Currencies whose minor unit has other digits there.
  region:
    default: US
    description: The country in which telephone numbers are read.
"""


def manifest_text(kind: str, path: str, rule: str) -> str:
    """Return the manifest of a vendor that keeps one field of one kind."""
    text = (VENDORS / "apple_calendar" / "manifest.yaml").read_text("utf-8")
    before = text.partition("\nkinds:")[0].replace("vendor: apple_calendar", "vendor: petalworks")
    fields = f"    create: true\n    update: true\n    delete: true\n    fields:\n      {path}: {rule}\n"
    return f"{before}\nkinds:\n  {kind}:\n{fields}\nscope:\n  shop: The shop.\n{_SETTINGS}"


@cache
def field_rule(kind: ItemKind, path: str, rule: str) -> FieldRule:
    """Return the field's rule as the manifest's reader understands it."""
    with TemporaryDirectory() as root:
        folder = Path(root, "petalworks")
        folder.mkdir()
        (folder / "manifest.yaml").write_text(manifest_text(kind, path, rule), "utf-8")
        return load_manifest(folder).kinds[kind].fields[path]
