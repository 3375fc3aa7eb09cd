"""What a webhook says, read as the vendor's manifest tells: its JSON, its event, its delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from services.gateway.http.problems import Problem
from services.gateway.journey import Nothing
from services.gateway.vendors.inbound import Inbound, first_of
from services.gateway.vendors.pointers import pointed
from services.gateway.vendors.schemes import FORM

MAX_DELIVERY_KEY = 255
"""Characters of a vendor's own id of a delivery."""
MAX_WORD = 1024
"""Characters of what a vendor wants to see back when it tries the address out."""
_MAX_FIELDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The event's name, the vendor's id of the delivery, and why it is of no interest, if so."""

    event_name: str
    delivery_key: str | None
    ignored: str


def payload(body: bytes, content_type: str, inbound: Inbound) -> bytes:
    """Return the JSON of a body: the body itself, or the field of a form that holds it."""
    if content_type != FORM or not inbound.form_field:
        return body
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Problem(400, "WRONG_SHAPE", f"The body is no form: {error}.") from error
    if len(found := fields.get(inbound.form_field, [])) != 1:
        raise Problem(400, "WRONG_SHAPE", f"The form must hold the field {inbound.form_field} once.")
    return found[0].encode()


def answer_to(event: Mapping[str, Any], inbound: Inbound) -> dict[str, str] | None:
    """Return what answers a vendor that only tries the address out, None for a real event."""
    handshake = inbound.handshake
    if handshake is None or pointed(event, handshake.pointer) != handshake.equals:
        return None
    word = pointed(event, handshake.echo)
    if not isinstance(word, str):
        raise Problem(400, "WRONG_SHAPE", f"The handshake must hold text at {handshake.echo}.")
    return {handshake.echo.rpartition("/")[2]: word}


def text_answer(query: Mapping[str, str], inbound: Inbound) -> str | None:
    """Return the text that answers a vendor that only tries the address out, None for a real event."""
    word = query.get(inbound.echoed_parameter) if inbound.echoed_parameter else None
    # The vendor's word comes back to whoever sends it here: it must be none that a browser would run.
    if word is not None and (len(word) > MAX_WORD or not word.isprintable() or "<" in word):
        detail = f"{inbound.echoed_parameter} must be at most {MAX_WORD} printable characters without <."
        raise Problem(400, "WRONG_SHAPE", detail)
    return word


def header_answer(headers: Mapping[str, str], inbound: Inbound) -> str | None:
    """Return the secret that a vendor hands over as it tries the address out, None for a real event."""
    secret = headers.get(inbound.echoed_header) if inbound.echoed_header else None
    if secret is not None and not (0 < len(secret) <= MAX_WORD and secret.isascii() and secret.isprintable()):
        detail = f"{inbound.echoed_header} must be 1 to {MAX_WORD} printable characters of ASCII."
        raise Problem(400, "WRONG_SHAPE", detail)
    return secret


def read_asked(
    headers: Mapping[str, str], query: Mapping[str, str], event: Mapping[str, Any], inbound: Inbound
) -> Asked:
    """Return what the webhook is about; refuse an event that makes no sense or was never asked for.

    A vendor that names no event is read as a hint.
    """
    name = first_of(inbound.event_name, headers, query, event)
    if name is not None and not isinstance(name, str):
        raise Problem(400, "WRONG_TYPE", "event must be text.")
    ignored = ""
    if name is not None and name not in inbound.events:
        if not inbound.ignores_other_events:
            raise Problem(422, "UNKNOWN_EVENT", f"Known events: {', '.join(sorted(inbound.events))}.")
        ignored = Nothing.IGNORED.value
    key = _delivery_key(first_of(inbound.delivery_id, headers, query, event))
    return Asked(event_name=(name or "")[:MAX_DELIVERY_KEY], delivery_key=key, ignored=ignored)


def _delivery_key(found: Any) -> str | None:
    """Return the vendor's id of the delivery. One that cannot be stored would fail its whole batch."""
    key = str(found) if isinstance(found, str | int) else None
    if key is not None and (len(key) > MAX_DELIVERY_KEY or not key.isprintable()):
        detail = f"The delivery's id must be at most {MAX_DELIVERY_KEY} printable characters."
        raise Problem(400, "WRONG_SHAPE", detail)
    return key
