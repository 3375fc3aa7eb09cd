"""A webhook as it came, and the ways in which it is not believed. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Nothing that could be taken for what stands beside it in a signed text.
_ID = re.compile(r"[A-Za-z0-9_:+/=-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One webhook as it came over the wire. Header names are in lower case."""

    method: str
    url: str
    """The public address it was sent to, with its query; empty where we do not know our own."""
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    event: Callable[[], Mapping[str, Any]]
    """Its JSON, read when somebody asks for it."""

    @property
    def content_type(self) -> str:
        """The media type alone."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """Return what stands in a header that must be there. Raises `SignatureRefused`."""
        if not (found := self.headers.get(name)):
            raise missing(f"The header {name} is missing")
        return found

    def delivery(self, name: str) -> str:
        """Return the vendor's id of the delivery, from a header. Raises `SignatureRefused`."""
        if not _ID.fullmatch(found := self.header(name)):
            raise malformed(f"{name} is no id")
        return found


class SignatureRefused(Exception):
    """A webhook is not believed; `code` is stable, the text says what to mend."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def missing(what: str) -> SignatureRefused:
    """Say that something stands nowhere."""
    return SignatureRefused("SIGNATURE_MISSING", f"{what}.")


def malformed(what: str) -> SignatureRefused:
    """Say that something cannot be read."""
    return SignatureRefused("SIGNATURE_MALFORMED", f"The signature cannot be read: {what}.")


def mismatched(what: str) -> SignatureRefused:
    """Say that something is none of the vendor's."""
    return SignatureRefused("SIGNATURE_MISMATCH", f"{what}.")


def not_configured(what: str) -> SignatureRefused:
    """Say that we lack what it takes to check."""
    return SignatureRefused("SIGNATURE_NOT_CONFIGURED", f"{what}.")


def check_age(signed_at: float, tolerance_seconds: int, now: datetime) -> None:
    """Refuse what was signed too long ago, or too far in the future."""
    seconds = now.timestamp() - signed_at
    if abs(seconds) > tolerance_seconds:
        when = "ago" if seconds > 0 else "in the future"
        detail = (
            f"It was signed {abs(seconds):.0f} s {when}, more than {tolerance_seconds} s; "
            "check the clocks, or send it anew."
        )
        raise SignatureRefused("SIGNATURE_STALE", detail)


def any_equal(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """Say whether one of those is one of these; every pair is compared, each in constant time."""
    known = list(expected)
    equal = [hmac.compare_digest(one, other) for one in given for other in known]
    return any(equal)


def filled(template: str, values: Mapping[str, bytes]) -> bytes:
    """Return the text that is signed. What a value holds is never taken for a placeholder."""
    parts = _PLACEHOLDER.split(template)
    return b"".join(values[part] if odd % 2 else part.encode() for odd, part in enumerate(parts))


def strict_base64(text: str) -> bytes:
    """Return what base64 holds; there is one way to write it. Raises `SignatureRefused`."""
    try:
        held = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        held = b""
    if not held or base64.b64encode(held) != text.encode():
        raise malformed("it is no base64")
    return held
