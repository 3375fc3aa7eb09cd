"""Text, numbers, flags, days, choices and sets of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.gateway.converters.contract import Context, Json, text_at
from services.gateway.vendors.pointers import placed, pointed
from wedsync.model.items import FieldValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text as it is; what space and line ends mean is the field's equivalence."""

    at: str

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the text."""
        return text_at(pointed(record, self.at))

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the text."""
        return {self.at: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A whole number, which some write with a point: 120.0."""

    at: str

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the number."""
        found = pointed(record, self.at)
        if isinstance(found, float) and found.is_integer():
            return int(found)
        if found is not None and type(found) is not int:
            raise ValueError("is no whole number")
        return found

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the number."""
        return {self.at: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Yes or no."""

    at: str

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the flag."""
        found = pointed(record, self.at)
        if found is not None and not isinstance(found, bool):
            raise ValueError("is neither true nor false")
        return found

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the flag."""
        return {self.at: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day as 2027-06-12."""

    at: str

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the day."""
        if (text := text_at(pointed(record, self.at))) is None:
            return None
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise ValueError("is no date") from None

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the day."""
        return {self.at: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words. Of several words of the vendor's that mean the same to us, it is told the first."""

    at: str
    values: Mapping[str, str]
    """Our word by the vendor's."""
    fallback: str | None = None
    """What a word means that is not listed; None where it makes no sense."""
    words: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        words = {ours: theirs for theirs, ours in reversed(list(self.values.items()))}
        object.__setattr__(self, "words", words)

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return our word."""
        if (text := text_at(pointed(record, self.at))) is None:
            return None
        if (word := self.values.get(text, self.fallback)) is None:
            raise ValueError("is unknown")
        return word

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the vendor's word."""
        if value is not None and value not in self.words:
            raise ValueError(f"cannot be {value} there")
        return {self.at: None if value is None else self.words[str(value)]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A set of labels: a list of texts, of objects that hold one, or one text with separators."""

    at: str
    item: str = ""
    """Where an entry of the list holds its label; empty where it is the label."""
    separator: str = ""

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the labels, sorted."""
        found = pointed(record, self.at)
        if self.separator:
            found = (text_at(found) or "").split(self.separator.strip())
        if not isinstance(found, list | None):
            raise ValueError("is no list")  # noqa: TRY004 - of whoever writes a record, not of ours
        shown = [pointed(entry, self.item) if self.item else entry for entry in found or ()]
        labels = {(text_at(entry) or "").strip() for entry in shown}
        return tuple(sorted(labels - {""})) or None

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the labels."""
        labels = value if isinstance(value, tuple) else ()
        if self.separator:
            if any(self.separator.strip() in label for label in labels):
                raise ValueError(
                    f"holds a label with {self.separator.strip()!r} in it, which separates labels there"
                )
            return {self.at: self.separator.join(labels) or None}
        return {self.at: [_wrapped(label, self.item) for label in labels]}


def _wrapped(label: str, item: str) -> Any:
    return placed({}, item, label) if item else label
