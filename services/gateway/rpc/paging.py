"""Page sizes and page tokens (AIP-158)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from services.gateway.store.journeys import Place
from wedsync.errors import FieldViolation, InvalidRequest
from wedsync.model.ids import is_id

DEFAULT_SIZE, MAX_SIZE = 50, 200


def page_size(asked: int) -> int:
    """Return how many entries a page has. Raises `InvalidRequest` for a negative number."""
    if asked < 0:
        raise InvalidRequest(violations=[FieldViolation("page_size", f"must be 0 to {MAX_SIZE}")])
    return min(asked or DEFAULT_SIZE, MAX_SIZE)


def token(at: datetime, entry_id: str) -> str:
    """Return the token of the page after this entry."""
    return base64.urlsafe_b64encode(f"{at.isoformat()} {entry_id}".encode()).decode()


def place(page_token: str) -> Place | None:
    """Return where a page starts, None for the first. Raises `InvalidRequest`."""
    if not page_token:
        return None
    try:
        moment, entry_id = base64.urlsafe_b64decode(page_token).decode().split(" ")
        found = Place(at=datetime.fromisoformat(moment), id=entry_id)
    except (binascii.Error, ValueError):
        found = None
    if found is None or not is_id(found.id):
        raise InvalidRequest(violations=[FieldViolation("page_token", "is none of ours; start without one")])
    return found


def require_id(field: str, value: str) -> str:
    """Return a UUID that a request must carry. Raises `InvalidRequest`."""
    if not is_id(value):
        raise InvalidRequest(violations=[FieldViolation(field, "must be a UUID in lower case: 0198c7a2-…")])
    return value
