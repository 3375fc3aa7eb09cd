"""iCalendar text (RFC 5545) as a tree of lines that is edited without touching anything else.

A general iCalendar library re-writes what it reads: it drops properties it cannot parse and escapes
values of types it does not know. Other people's events must survive our edits byte for byte, so a
line that we do not replace is written as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

# Well above any real event (Apple's largest carry an inline alarm sound or picture).
MAX_BYTES = 1024 * 1024
_MAX_LINES = 20_000
_MAX_DEPTH = 8
_FOLD_OCTETS = 75

_NAME = re.compile(r"[A-Za-z0-9.-]+")
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:])*)(?=[;:])')
_ESCAPED = re.compile(r"\\([\\;,nN])")
_SEPARATING_COMMA = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)


class IcsError(ValueError):
    """The text is not a calendar object that we can understand."""


@dataclass(frozen=True, slots=True)
class Line:
    """One content line. `text` is the whole of it, unfolded; name and parameter names are upper-case."""

    text: str
    name: str
    value: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Component:
    """What stands between BEGIN and END: lines and components, in order."""

    name: str
    entries: tuple[Line | Component, ...] = ()

    def components(self, name: str) -> list[Component]:
        """Return the direct children of that name."""
        return [e for e in self.entries if isinstance(e, Component) and e.name == name]

    def lines(self, name: str) -> list[Line]:
        """Return the component's own lines of that name."""
        return [e for e in self.entries if isinstance(e, Line) and e.name == name]

    def line(self, name: str) -> Line | None:
        """Return the first line of that name, None if there is none."""
        return next(iter(self.lines(name)), None)

    def with_line(self, name: str, line: Line | None) -> Component:
        """Return the component with this line instead of all of that name; None removes them."""
        entries, placed = list[Line | Component](), line is None
        for entry in self.entries:
            if not (isinstance(entry, Line) and entry.name == name):
                entries.append(entry)
            elif line is not None and not placed:
                entries.append(line)
                placed = True
        if line is not None and not placed:
            # Properties stand before sub-components such as VALARM.
            first = next((i for i, e in enumerate(entries) if isinstance(e, Component)), len(entries))
            entries.insert(first, line)
        return replace(self, entries=tuple(entries))

    def with_added(self, entry: Line | Component) -> Component:
        """Return the component with one line more, or with one child more at the end."""
        if isinstance(entry, Component):
            return replace(self, entries=(*self.entries, entry))
        first = next((i for i, e in enumerate(self.entries) if isinstance(e, Component)), len(self.entries))
        return replace(self, entries=(*self.entries[:first], entry, *self.entries[first:]))

    def without_component(self, old: Component) -> Component:
        """Return the component without one child."""
        return replace(self, entries=tuple(e for e in self.entries if e is not old))

    def with_component(self, old: Component | None, new: Component) -> Component:
        """Return the component with one child exchanged, or put first where there is no old one."""
        if old is not None:
            return replace(self, entries=tuple(new if e is old else e for e in self.entries))
        first = next((i for i, e in enumerate(self.entries) if isinstance(e, Component)), len(self.entries))
        return replace(self, entries=(*self.entries[:first], new, *self.entries[first:]))


def prop(name: str, value: str, **params: str) -> Line:
    """Return a line of these parts; the value is raw, see `escape`."""
    suffix = "".join(f";{key}={_quoted(text)}" for key, text in params.items())
    return Line(f"{name}{suffix}:{value}", name, value, params)


def parse(text: str) -> Component:
    """Parse one calendar object. Raises `IcsError`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise IcsError(f"the calendar object is larger than {MAX_BYTES} bytes")
    stack, root = list[tuple[str, list[Line | Component]]](), None
    for line in _content_lines(text):
        if root is not None:
            raise IcsError("there is text after the end of the calendar object")
        if line.name == "BEGIN":
            stack.append((line.value.strip().upper(), []))
            if len(stack) > _MAX_DEPTH:
                raise IcsError(f"components are nested deeper than {_MAX_DEPTH}")
        elif not stack:
            raise IcsError("it does not begin with BEGIN:VCALENDAR")
        elif line.name == "END":
            root = _close(stack, line)
        else:
            stack[-1][1].append(line)
    if root is None or root.name != "VCALENDAR":
        raise IcsError("it is not one complete VCALENDAR")
    return root


def serialize(root: Component) -> str:
    """Return the text with CRLF line ends, folded at 75 octets."""
    return "".join(f"{_folded(line)}\r\n" for line in _flat(root))


def escape(text: str) -> str:
    """Return text as a TEXT value."""
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n")


def unescape(value: str) -> str:
    """Return what a TEXT value says."""
    return _ESCAPED.sub(lambda m: "\n" if m[1] in "nN" else m[1], value)


def split_list(value: str) -> list[str]:
    """Return the texts of a comma-separated list of TEXT values."""
    return [unescape(part) for part in _SEPARATING_COMMA.findall(value)]


def _close(stack: list[tuple[str, list[Line | Component]]], end: Line) -> Component | None:
    name, entries = stack.pop()
    if end.value.strip().upper() != name:
        raise IcsError(f"END:{end.value[:40]} closes BEGIN:{name[:40]}")
    component = Component(name, tuple(entries))
    if not stack:
        return component
    stack[-1][1].append(component)
    return None


def _content_lines(text: str) -> Iterator[Line]:
    count, pending = 0, ""
    for physical in text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"):
        count += 1
        if count > _MAX_LINES:
            raise IcsError(f"the calendar object has more than {_MAX_LINES} lines")
        if physical.startswith((" ", "\t")):
            pending += physical[1:]
            continue
        if pending.strip():
            yield _line(pending)
        pending = physical
    if pending.strip():
        yield _line(pending)


def _line(text: str) -> Line:
    """Read one unfolded line; one that makes no sense has no name, and is kept as it is."""
    name, position, params = _NAME.match(text), 0, dict[str, str]()
    if name is None:
        return Line(text, "", text)
    position = name.end()
    while found := _PARAMETER.match(text, position):
        params[found[1].upper()] = found[2].strip('"')
        position = found.end()
    if text[position : position + 1] != ":":
        return Line(text, "", text)
    return Line(text, name[0].upper(), text[position + 1 :], params)


def _flat(component: Component) -> Iterator[str]:
    yield f"BEGIN:{component.name}"
    for entry in component.entries:
        if isinstance(entry, Line):
            yield entry.text
        else:
            yield from _flat(entry)
    yield f"END:{component.name}"


def _folded(text: str) -> str:
    if len(text) <= _FOLD_OCTETS and len(text.encode()) <= _FOLD_OCTETS:
        return text
    return "\r\n ".join(_pieces(text))


def _pieces(text: str) -> Iterable[str]:
    # A character is never cut in two, and every further piece begins with the folding space.
    start, used = 0, 0
    for index, character in enumerate(text):
        octets = len(character.encode())
        if used + octets > _FOLD_OCTETS:
            yield text[start:index]
            start, used = index, 1
        used += octets
    yield text[start:]


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[;:,]", text) else text
