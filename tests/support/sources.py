"""The files of the repository, as tests of its shape read them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = "libs/wedsync/api/"


@cache
def files() -> Sequence[Path]:
    """Return every file that belongs to the repository, or would if it were added now."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    paths = [ROOT / name for name in names.decode().split("\0") if name]
    return [path for path in sorted(set(paths)) if path.is_file()]


def written_by_hand(*parts: str) -> Iterator[Path]:
    """Yield the Python files below these folders that nobody generated."""
    folders = tuple(f"{part}/" for part in parts)
    for path in files():
        name = relative(path)
        if path.suffix == ".py" and name.startswith(folders) and not name.startswith(GENERATED):
            yield path


def relative(path: Path) -> str:
    """Return a file's name within the repository."""
    return path.relative_to(ROOT).as_posix()
