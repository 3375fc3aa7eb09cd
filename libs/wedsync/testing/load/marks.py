"""What an edit writes, so that whoever meets it later knows which edit it was. Pure."""

from __future__ import annotations

import re

_MARK = re.compile(r"Toast (\d+), edit (\d+)\Z")


def title(record: int, edit: int) -> str:
    """Return the title a record has after an edit of it; the edits of a record are counted from 0."""
    return f"Toast {record}, edit {edit}"


def read(text: object) -> tuple[int, int] | None:
    """Return which record and which edit of it a title is of, None where it is no title of ours."""
    found = _MARK.match(text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2])) if found else None
