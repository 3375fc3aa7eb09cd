"""What every service checks of a request: ids, page sizes, page tokens; all that is wrong is said at once."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from wedsync.errors import FieldViolation, InvalidRequest
from wedsync.model.ids import is_id

ID_HINT = "must be a UUID in lower case: 0198c7a2-…"
DEFAULT_PAGE, MAX_PAGE = 50, 200

_FOREIGN_TOKEN = "is none of ours; start without one"  # noqa: S105 - a message


class Checks:
    """Collects what is wrong with a request."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def refuse(self, field: str, description: str) -> None:
        """Note a violation."""
        self.violations.append(FieldViolation(field, description))

    def require(self, condition: bool, field: str, description: str) -> None:
        """Note a violation unless the condition holds."""
        if not condition:
            self.refuse(field, description)

    def finish(self) -> None:
        """Raise `InvalidRequest` if anything was wrong."""
        if self.violations:
            raise InvalidRequest(violations=self.violations)


def refuse(field: str, description: str) -> InvalidRequest:
    """Return the error for one thing that is wrong."""
    return InvalidRequest(violations=[FieldViolation(field, description)])


def require_id(field: str, value: str) -> str:
    """Return a UUID that a request must carry. Raises `InvalidRequest`."""
    if not is_id(value):
        raise refuse(field, ID_HINT)
    return value


def page_size(asked: int, *, default: int = DEFAULT_PAGE, most: int = MAX_PAGE) -> int:
    """Return how many entries a page has. Raises `InvalidRequest` for a negative number."""
    if asked < 0:
        raise refuse("page_size", f"must be 0 to {most}")
    return min(asked or default, most)


def page_token(place: Sequence[str]) -> str:
    """Return where the next page starts, as a token."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).decode()


def place_of(token: str, *, parts: int) -> list[str] | None:
    """Return the place a token stands for, None for the first page. Raises `InvalidRequest`."""
    if not token:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        place = None
    if not isinstance(place, list) or len(place) != parts or not all(isinstance(p, str) for p in place):
        raise foreign_token()
    return place


def foreign_token() -> InvalidRequest:
    """Return the error for a page token that we never gave out."""
    return refuse("page_token", _FOREIGN_TOKEN)
