"""Keeps the access tokens of OAuth2 accounts valid, together with all other replicas.

A refresh token may be good for one use. So exactly one process uses it, under a lease; what it is given
is committed before anybody uses it; and if that process dies in between, the old token is tried once
more: the vendor either takes it, or the account must be connected again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from services.gateway.calls.oauth2 import GrantRefused, Http, Tokens, refresh
from services.gateway.calls.renewal import Kept, Step, early, next_step
from services.gateway.deliver.retry import backoff
from services.gateway.store.tokens import Place, TokenStore
from services.gateway.vendors.manifest import Auth
from services.gateway.vendors.port import TokenSource, VendorAuthFailed, VendorGarbage, VendorUnavailable
from wedsync.clock import Clock
from wedsync.errors import WedSyncError

_LOOKS, _LOOK_SECONDS = 100, 0.1
_COMMITS, _COMMIT_SECONDS = 8, 0.5


class TokenKeeper:
    """The token sources of this process, one per account."""

    def __init__(self, *, store: TokenStore, http: Http, clock: Clock) -> None:
        self._store, self._http, self._clock = store, http, clock
        self._sources: dict[str, AccountTokens] = {}
        """By account; one that has newer credentials gets another."""

    def source(self, place: Place, auth: Auth, credentials: Mapping[str, str]) -> TokenSource:
        """Return the account's source; its links share one."""
        known = self._sources.get(place.integration_id)
        if known is not None and known.place.version >= place.version:
            return known
        made = AccountTokens(
            place=place,
            auth=auth,
            credentials=credentials,
            store=self._store,
            http=self._http,
            clock=self._clock,
        )
        self._sources[place.integration_id] = made
        return made


class AccountTokens(TokenSource):
    """One account's access token. At most one look for another is under way, whoever asks."""

    def __init__(
        self,
        *,
        place: Place,
        auth: Auth,
        credentials: Mapping[str, str],
        store: TokenStore,
        http: Http,
        clock: Clock,
    ) -> None:
        self.place, self._auth, self._credentials = place, auth, credentials
        self._store, self._http, self._clock = store, http, clock
        self._token, self._fresh_until = "", 0.0
        self._looking: asyncio.Task[str] | None = None

    async def access_token(self) -> str:
        """Return a token that is valid for a while."""
        if self._clock.monotonic() < self._fresh_until:
            return self._token
        return await self._shared("")

    async def renewed(self, refused: str) -> str:
        """Return another token than this one."""
        if refused == self._token:
            self._fresh_until = 0.0
        token = await self._shared(refused)
        # A look that was under way already knew nothing of the refusal.
        return token if token != refused else await self._shared(refused)

    async def _shared(self, refused: str) -> str:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(refused), name="access token")
            self._looking.add_done_callback(_noticed)
        # Whoever asked may go away; a token that is given meanwhile must not be lost with them.
        return await asyncio.shield(self._looking)

    async def _look(self, refused: str) -> str:
        for _ in range(_LOOKS):
            dice = random.random()  # noqa: S311 - jitter
            decision = partial(next_step, dice=dice, refused=refused)
            kept, step, lease = await self._store.decide(self.place, self._first, decision)
            match step:
                case Step.USE:
                    return self._use(kept.tokens, kept.seconds_left)
                case Step.REFRESH:
                    return await self._refresh(kept, lease, refused)
                case Step.WAIT:
                    await self._clock.sleep(_LOOK_SECONDS * (0.5 + dice))
                case Step.PUT_OFF:
                    raise VendorUnavailable(
                        "no new access token could be had a moment ago", retry_after=kept.wait
                    )
                case Step.RECONNECT:
                    raise VendorAuthFailed(kept.reconnect)
                case Step.REFUSED:
                    raise VendorAuthFailed("the vendor refuses an access token that it has just given")
        raise VendorUnavailable("another process is getting an access token", retry_after=1.0)

    async def _refresh(self, kept: Kept, lease: str, refused: str) -> str:
        try:
            tokens = await self._traded(kept.tokens)
        except GrantRefused as error:
            await self._store.give_up(self.place, lease, kept.generation, reason=str(error))
            raise
        except (VendorUnavailable, VendorGarbage) as error:
            seconds = backoff(kept.failures + 1, random.random())  # noqa: S311 - jitter
            await self._store.put_off(self.place, lease, seconds=seconds)
            if kept.usable and kept.tokens.access_token != refused:
                return kept.tokens.access_token
            raise VendorUnavailable(f"no new access token: {error}", retry_after=seconds) from error
        await self._keep(kept.generation, tokens)
        return self._use(tokens, tokens.lifetime)

    async def _traded(self, tokens: Tokens) -> Tokens:
        trade = partial(refresh, self._http, self._auth, self._credentials)
        try:
            return await trade(tokens.refresh_token)
        except GrantRefused:
            if not tokens.previous:
                raise
            # The newer one never worked: the vendor may not know that it gave it.
            return await trade(tokens.previous)

    async def _keep(self, generation: int, tokens: Tokens) -> None:
        """Commit what was given; nothing else holds it, so not at the first trouble of the database."""
        for attempt in range(1, _COMMITS + 1):
            try:
                return await self._store.keep(self.place, generation, tokens)
            except WedSyncError as error:
                if attempt == _COMMITS or not error.retryable:
                    raise VendorUnavailable("a new access token could not be kept") from error
                await self._clock.sleep(_COMMIT_SECONDS * attempt)
        return None

    def _use(self, tokens: Tokens, seconds_left: float) -> str:
        spread = early(tokens.lifetime, random.random())  # noqa: S311 - jitter
        self._token = tokens.access_token
        self._fresh_until = self._clock.monotonic() + seconds_left - spread
        return self._token

    def _first(self) -> Tokens:
        """Return what the organization entered; an access token of which nobody knows how old is none."""
        lifetime = _seconds_until(self._credentials.get("expires_at", ""), self._clock.now())
        return Tokens(
            access_token=self._credentials.get("access_token", "") if lifetime else "",
            refresh_token=self._credentials["refresh_token"],
            lifetime=lifetime,
        )


def _seconds_until(moment: str, now: datetime) -> float:
    """Return the seconds until an RFC 3339 time; 0 for none, and for one that is past."""
    try:
        return max(0.0, (datetime.fromisoformat(moment) - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _noticed(task: asyncio.Task[str]) -> None:
    if not task.cancelled():
        task.exception()
