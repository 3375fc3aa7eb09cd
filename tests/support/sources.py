"""The files of the project, as tests of its shape read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = "libs/wedsync/api/"

_FOLDERS = (".ci", "deploy", "docs", "libs", "protos", "services", "tests")
_NOT_OURS = frozenset({".git", "__pycache__", ".hypothesis"})


@cache
def files() -> Sequence[Path]:
    """Return every file of the project; what tools leave behind is none of it."""
    top = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".coverage")]
    below = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(path for path in [*top, *below] if not _NOT_OURS & set(path.parts))


def written_by_hand(*parts: str) -> Iterator[Path]:
    """Yield the Python files below these folders that nobody generated."""
    folders = tuple(f"{part}/" for part in parts)
    for path in files():
        name = relative(path)
        if path.suffix == ".py" and name.startswith(folders) and not name.startswith(GENERATED):
            yield path


def relative(path: Path) -> str:
    """Return a file's name within the project."""
    return path.relative_to(ROOT).as_posix()
