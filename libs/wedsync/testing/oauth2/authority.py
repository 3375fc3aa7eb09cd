"""Who gives tokens, and what became of each. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

CLIENT_ID, CLIENT_SECRET = "wedsync-sandbox", "sandbox-secret"
REFRESH_TOKEN = "sandbox-refresh"  # noqa: S105 - the sandbox's own
"""What an organization was given whose consent the vendors' simulators take for granted."""


class Refused(Exception):
    """The endpoint's own word for why there is no token (RFC 6749, section 5.2)."""


class Fault(Enum):
    """What the next refresh meets."""

    DIES_BEFORE = auto()
    """The connection breaks, and nothing was done."""
    DIES_AFTER = auto()
    """The token is traded in, and the answer is lost."""
    BUSY = auto()
    """Answered 503, and nothing was done."""
    GARBAGE = auto()
    """Traded in, and answered by something that is no JSON."""


@dataclass(slots=True, kw_only=True)
class Authority:
    """One account's authorization server."""

    rotates: bool = True
    """A new refresh token comes with each access token."""
    revokes: bool = True
    """Where they rotate, a refresh token is good for one use."""
    lifetime: float | None = 3600.0
    """Seconds it says its access tokens live; None says nothing."""
    delay: float = 0.0
    """Seconds before it answers."""
    faults: list[Fault] = field(default_factory=list)
    """What the next refreshes meet, the first one first."""
    refreshes: int = 0
    """How many refreshes were asked for, whatever became of them."""
    granted: int = 0
    under_way: int = 0
    most_at_once: int = 0
    access: set[str] = field(default_factory=set)
    """Access tokens that are valid."""
    refresh: set[str] = field(default_factory=set)
    """Refresh tokens that are valid."""
    on_grant: Callable[[], None] = lambda: None
    """Called once a new refresh token is valid, so that whoever keeps them does so before it is told."""

    def consent(self) -> str:
        """Return the refresh token of an organization that has just consented."""
        token = f"rt-{secrets.token_hex(8)}"
        self.refresh.add(token)
        return token

    def revoke(self) -> None:
        """Let no token be valid any more: somebody has withdrawn the consent."""
        self.access.clear()
        self.refresh.clear()

    def end(self, access_token: str) -> None:
        """Let an access token end before its time."""
        self.access.discard(access_token)

    def trade(self, form: Mapping[str, str]) -> dict[str, object]:
        """Return the answer to a refresh. Raises `Refused`."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise Refused("invalid_client")
        if form.get("grant_type") != "refresh_token":
            raise Refused("unsupported_grant_type")
        sent = form.get("refresh_token", "")
        if sent not in self.refresh:
            raise Refused("invalid_grant")
        return self._grant(sent)

    def _grant(self, sent: str) -> dict[str, object]:
        self.granted += 1
        access = f"at-{self.granted}-{secrets.token_hex(4)}"
        self.access.add(access)
        answer: dict[str, object] = {"access_token": access, "token_type": "Bearer"}
        if self.lifetime is not None:
            answer["expires_in"] = self.lifetime
        if self.rotates:
            if self.revokes:
                self.refresh.discard(sent)
            answer["refresh_token"] = self.consent()
            self.on_grant()
        return answer
