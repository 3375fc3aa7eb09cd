"""As much iCalendar as a person's calendar app needs to change one event. Pure."""

from __future__ import annotations

import re

_FOLD = re.compile(r"\r?\n[ \t]")
_ESCAPED = {"\\n": "\n", "\\N": "\n", "\\,": ",", "\\;": ";", "\\\\": "\\"}


def text_of(calendar: str, name: str) -> str | None:
    """Return a property of the calendar's event as text, None where it is not set."""
    line = next((line for line in _event(_lines(calendar)) if _is(line, name)), None)
    if line is None:
        return None
    return re.sub(r"\\[nN,;\\]", lambda found: _ESCAPED[found[0]], line.partition(":")[2])


def with_text(calendar: str, name: str, text: str) -> str:
    """Return the calendar with a property of its event set; the property's parameters stay."""
    lines = _lines(calendar)
    start = lines.index("BEGIN:VEVENT") + 1
    size = len(_event(lines))
    at = next((n for n in range(start, start + size) if _is(lines[n], name)), None)
    if at is None:
        lines.insert(start, f"{name}:{_escape(text)}")
    else:
        lines[at] = f"{lines[at].partition(':')[0]}:{_escape(text)}"
    return "\r\n".join(lines) + "\r\n"


def _lines(calendar: str) -> list[str]:
    return _FOLD.sub("", calendar).splitlines()


def _event(lines: list[str]) -> list[str]:
    """Return the lines within the event: a time zone has a DTSTART of its own."""
    start = lines.index("BEGIN:VEVENT") + 1
    return lines[start : lines.index("END:VEVENT", start)]


def _is(line: str, name: str) -> bool:
    return re.match(f"{name}[;:]", line) is not None


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")
