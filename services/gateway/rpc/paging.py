"""Where a page of webhooks or deliveries starts: newest first, the id settling ties."""

from __future__ import annotations

from datetime import datetime

from services.gateway.store.journeys import Place
from wedsync.model.ids import is_id
from wedsync.runtime.requests import foreign_token, page_token, place_of


def token_after(at: datetime, entry_id: str) -> str:
    """Return the token of the page after this entry."""
    return page_token([at.isoformat(), entry_id])


def page_start(token: str) -> Place | None:
    """Return where a page starts, None for the first. Raises `InvalidRequest`."""
    place = place_of(token, parts=2)
    if place is None:
        return None
    moment, entry_id = place
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        raise foreign_token() from None
    if at.tzinfo is None or not is_id(entry_id):
        raise foreign_token()
    return Place(at=at, id=entry_id)
