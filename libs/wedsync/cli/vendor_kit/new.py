"""`wedsync vendor new`: a vendor's folder and bench, with everything that is to be filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from wedsync.cli.output import complain, console
from wedsync.cli.vendor_kit.checkout import BENCHES, VENDORS, checkout, vendor_name

Name = Annotated[str, typer.Argument(metavar="NAME", help="The vendor's folder.", callback=vendor_name)]


def new(name: Name) -> None:
    """Make a vendor's folder and bench; `vendor check` then says what is missing."""
    for path in write(checkout(), scaffold(name)):
        console().print(f"made {path}")
    console().print(f"Fill them in; `wedsync vendor check {name}` says what is missing. See docs/vendors.md.")


def write(root: Path, made: Mapping[Path, str]) -> Iterable[Path]:
    """Write files below a root, all of them or none; return where they are."""
    if taken := [path for path in made if (root / path).exists()]:
        complain(f"{taken[0]} is there already: choose another name, or delete it.")
        raise typer.Exit(1)
    for path, text in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    return made


def scaffold(name: str) -> dict[Path, str]:
    """Return the files of a new vendor, by their place in a checkout."""
    title = " ".join(word.capitalize() for word in name.split("_"))
    words = {"vendor": name, "title": title, "class_name": title.replace(" ", "")}

    def filled(template: str) -> str:
        text = files("wedsync.cli.vendor_kit").joinpath("templates", f"{template}.txt").read_text("utf-8")
        return Template(text).substitute(words)

    folder = VENDORS / name
    return {
        folder / "__init__.py": f'"""{title}."""\n',
        folder / "manifest.yaml": filled("manifest.yaml"),
        folder / "adapter.py": filled("adapter.py"),
        BENCHES / f"{name}.py": filled("bench.py"),
    }
