"""Which fields each Tave resource has, and what may stand in them (from the vendor's published schema)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any
from urllib.parse import urlsplit

Check = Callable[[Any], str | None]
"""Says what is wrong with a value; None if nothing is."""

_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one field accepts. A read-only one refuses to be written at all."""

    check: Check
    nullable: bool = True
    read_only: bool = False
    required: bool = False
    default: Any = None


Rules = Mapping[str, Rule]


def violations(rules: Rules, body: Any, *, ignore_read_only: bool = False) -> dict[str, list[str]]:
    """Return what is wrong with the body, by field; empty if nothing is."""
    if not isinstance(body, dict):
        return {"": ["must be an object"]}
    found = {name: _wrong(rules.get(name), value, ignore_read_only) for name, value in body.items()}
    found |= {n: "is required" for n, r in rules.items() if r.required and body.get(n) is None}
    return {name: [wrong] for name, wrong in found.items() if wrong}


def _wrong(rule: Rule | None, value: Any, ignore_read_only: bool) -> str | None:
    if rule is None:
        return "is not a field of this resource"
    if rule.read_only:
        return None if ignore_read_only else "is read-only"
    if value is None:
        return None if rule.nullable else "must not be null"
    return rule.check(value)


def text(longest: int = 255, shortest: int = 0) -> Check:
    """Accept a string of such a length."""

    def check(value: Any) -> str | None:
        fits = isinstance(value, str) and shortest <= len(value) <= longest
        return None if fits else f"must be a string of {shortest} to {longest} characters"

    return check


def integer(lowest: int, highest: int = 99_999_999_999) -> Check:
    """Accept a whole number in the range; a bool is none."""

    def check(value: Any) -> str | None:
        fits = type(value) is int and lowest <= value <= highest
        return None if fits else f"must be an integer from {lowest} to {highest}"

    return check


def one_of(*allowed: str) -> Check:
    """Accept one of the words."""
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}"


def boolean(value: Any) -> str | None:
    """Accept true or false."""
    return None if isinstance(value, bool) else "must be a boolean"


def ulid(value: Any) -> str | None:
    """Accept a lower-case ULID."""
    return None if isinstance(value, str) and _ULID.fullmatch(value) else "must be a lower-case ULID"


def calendar_date(value: Any) -> str | None:
    """Accept YYYY-MM-DD."""
    return None if _parses(date.fromisoformat, value, 10) else "must be a date YYYY-MM-DD"


def clock_time(value: Any) -> str | None:
    """Accept HH:MM:SS."""
    return None if _parses(time.fromisoformat, value, 8) else "must be a time HH:MM:SS"


def _parses(parse: Callable[[str], object], value: Any, length: int) -> bool:
    if not isinstance(value, str) or len(value) != length:
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def uri(value: Any) -> str | None:
    """Accept an absolute address of 12 to 255 characters."""
    fits = isinstance(value, str) and 12 <= len(value) <= 255 and bool(urlsplit(value).scheme)
    return None if fits else "must be a URI of 12 to 255 characters"


def listed(each: Check) -> Check:
    """Accept a list of such values."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be a list"
        return next((wrong for entry in value if (wrong := each(entry))), None)

    return check


def shaped(rules: Rules) -> Check:
    """Accept an object of such fields."""

    def check(value: Any) -> str | None:
        return next((f"{name} {said[0]}".strip() for name, said in violations(rules, value).items()), None)

    return check
