"""What every converter does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from wedsync.model.items import FieldValue

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a value's meaning depends on besides the vendor's record."""

    zone: str
    """The wedding's IANA zone."""
    currency: str = ""
    """The account's, where the vendor keeps one for all its amounts."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The account's settings, by the names in the manifest."""


class Converter(Protocol):
    """One field between a vendor's record and us.

    What was converted to the vendor comes back as it was, up to the equivalence that the field declares.
    """

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return what a record says. Raises `ValueError` with what is wrong: `is no whole number`."""
        ...

    def to_vendor(self, value: FieldValue, context: Context) -> Mapping[str, Any]:
        """Return what the vendor is to be given, by JSON pointer. Raises `ValueError` if it cannot say it."""
        ...


def text_at(found: object) -> str | None:
    """Return the text that was found, None for nothing. Raises `ValueError` if it is something else."""
    if found is not None and not isinstance(found, str):
        raise ValueError("is something else than text")
    return found or None
