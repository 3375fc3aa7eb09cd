"""Access tokens on a real PostgreSQL, against an authority that rotates, refuses, stalls and dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.gateway.calls.calls import Calls
from services.gateway.calls.oauth2 import Tokens
from services.gateway.calls.tokens import AccountTokens
from services.gateway.store.links import LinkStore, new_endpoint_key
from services.gateway.store.tokens import Place, TokenStore
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import Auth, Manifest
from services.gateway.vendors.port import Account, VendorAuthFailed, VendorUnavailable
from tests.support.gateway_process import until
from tests.support.gateway_store import Stores
from tests.support.gateway_vendor import manifest
from wedsync.clock import SystemClock
from wedsync.errors import Unavailable
from wedsync.model.ids import new_id
from wedsync.runtime.limiter import LocalLimiter
from wedsync.testing.oauth2 import CLIENT_ID, CLIENT_SECRET, Authority, running
from wedsync.testing.oauth2.authority import Fault


@dataclass
class Desk:
    """One OAuth2 account, as any number of gateway replicas see it."""

    stores: Stores
    authority: Authority
    url: str
    http: VendorHttp
    place: Place
    account: Account
    manifest: Manifest
    sources: list[AccountTokens] = field(default_factory=list)

    def replica(self, store: TokenStore | None = None) -> AccountTokens:
        """Return the account's tokens in one more process."""
        return AccountTokens(
            place=self.place,
            auth=self.manifest.auth,
            credentials=self.account.credentials,
            store=store or self.stores.tokens,
            http=self.http,
            clock=SystemClock(),
        )

    def calls(self) -> Calls:
        """Return how one more process calls."""
        clock = SystemClock()
        return Calls(http=self.http, limiter=LocalLimiter(clock), tokens=self.stores.tokens, clock=clock)

    def row(self) -> dict[str, Any]:
        """Return what is kept."""
        [row] = self.stores.sql(
            "SELECT * FROM gateway.access_tokens WHERE integration_id = %s", self.place.integration_id
        )
        return row

    def set(self, assignments: str) -> None:
        """Let time pass, or something have happened."""
        query = f"UPDATE gateway.access_tokens SET {assignments} WHERE integration_id = %s"
        self.stores.sql(query, self.place.integration_id)

    async def reconnect_reason(self) -> str:
        """Return what the organization is shown."""
        found = await self.stores.links.integration([self.place.organization_id], self.place.integration_id)
        assert found is not None
        return found.reconnect


@pytest.fixture
async def desk(stores: Stores) -> AsyncIterator[Desk]:
    """An account that has just been connected."""
    authority, limits = Authority(), Limits(allow_private=True)
    async with running(authority) as url, VendorHttp(limits=limits) as http:
        place = Place(organization_id=f"org-{new_id()}", integration_id=new_id())
        given = {
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": authority.consent(),
        }  # fmt: skip
        account = Account(integration_id=place.integration_id, base_url=url, credentials=given)
        await connect(stores.links, place, account)
        auth = Auth(type="oauth2", credentials=(), token_url=f"{url}/token")
        yield Desk(stores, authority, url, http, place, account, manifest(auth=auth))


async def connect(links: LinkStore, place: Place, account: Account) -> None:
    """Keep the account."""
    await links.connect(
        organization_id=place.organization_id,
        request_id=new_id(),
        vendor="desk",
        account=account,
        endpoint_key=new_endpoint_key(),
    )


@pytest.mark.parametrize("rotates", [True, False])
async def test_replicas_that_race_refresh_once(desk: Desk, rotates: bool) -> None:
    """Six replicas, each asked five times at once, get one and the same token by exactly one refresh."""
    desk.authority.rotates, desk.authority.delay = rotates, 0.2
    replicas = [desk.replica() for _ in range(6)]
    tokens = await asyncio.gather(*(each.access_token() for each in replicas for _ in range(5)))
    assert len(set(tokens)) == 1
    assert tokens[0] in desk.authority.access
    assert (desk.authority.refreshes, desk.authority.most_at_once) == (1, 1)


async def test_a_token_is_refreshed_before_it_ends(desk: Desk) -> None:
    """Near the end one replica gets the next token, while the others go on with this one without waiting."""
    first = await desk.replica().access_token()
    desk.set("ends_at = clock_timestamp() + interval '20 seconds'")
    desk.authority.delay = 0.5
    early, *others = [desk.replica() for _ in range(4)]
    renewing = asyncio.create_task(early.access_token())
    await until(lambda: desk.authority.under_way == 1, "the refresh is under way")
    assert {await each.access_token() for each in others} == {first}
    assert desk.authority.under_way == 1
    assert await renewing != first
    assert desk.authority.refreshes == 2


async def test_rotated_tokens_survive_a_restart(desk: Desk) -> None:
    """Each refresh uses the newest refresh token, whichever process had it, and the one before is kept."""
    for _ in range(3):
        assert await desk.replica().access_token() in desk.authority.access
        desk.set("ends_at = clock_timestamp() - interval '1 second'")
    assert await desk.reconnect_reason() == ""
    assert desk.authority.refreshes == 3


async def test_what_is_kept_is_sealed_and_its_owners(desk: Desk) -> None:
    """Neither token stands in the table, and another organization's process cannot even see the row."""
    token = await desk.replica().access_token()
    kept = bytes(desk.row()["tokens"])
    assert token.encode() not in kept
    assert next(iter(desk.authority.refresh)).encode() not in kept
    stranger = Place(organization_id=f"org-{new_id()}", integration_id=desk.place.integration_id)
    await desk.stores.tokens.keep(stranger, 1, Tokens(access_token="x", refresh_token="y", lifetime=1))
    assert bytes(desk.row()["tokens"]) == kept


async def test_a_withdrawn_consent_needs_a_reconnect_and_no_more_calls(desk: Desk) -> None:
    """After invalid_grant the account is marked, the organization is shown why, and nobody asks again."""
    desk.authority.revoke()
    for _ in range(5):
        with pytest.raises(VendorAuthFailed, match=r"reconnect needed.*invalid_grant"):
            await desk.replica().access_token()
    assert desk.authority.refreshes == 1
    assert "reconnect needed" in await desk.reconnect_reason()


async def test_new_credentials_end_the_need_to_reconnect(desk: Desk) -> None:
    """They start anew; what a process still brings that had the old ones counts no more."""
    desk.authority.revoke()
    with pytest.raises(VendorAuthFailed):
        await desk.replica().access_token()
    before = await desk.stores.links.integration([desk.place.organization_id], desk.place.integration_id)
    assert before is not None
    given = {**desk.account.credentials, "refresh_token": desk.authority.consent()}
    after = await desk.stores.links.update(before, replace(desk.account, credentials=given))
    assert (after.version, after.reconnect) == (2, "")
    old, calls = desk.place, desk.calls()
    organization = desk.place.organization_id
    stale, fresh = (
        calls.account(organization, replace(desk.account, credentials=credentials), desk.manifest, version=n)
        for n, credentials in ((1, desk.account.credentials), (2, given))
    )
    assert await fresh.access_token() in desk.authority.access
    await desk.stores.tokens.keep(old, 0, Tokens(access_token="x", refresh_token="y", lifetime=60))
    assert await stale.access_token() == await desk.replica().access_token() == await fresh.access_token()
    assert await desk.reconnect_reason() == ""


@contextlib.asynccontextmanager
async def killed_in_the_middle(desk: Desk) -> AsyncIterator[None]:
    """Let a refresher die after the vendor traded the token in; its lease ends within the block."""
    desk.authority.delay = 0.3
    dying = desk.replica(_Dead(desk.stores.database, desk.stores.tokens._vault))
    with contextlib.suppress(_Killed):
        await dying.access_token()
    assert desk.row()["lease_token"] is not None
    desk.authority.delay = 0
    waiting = asyncio.create_task(desk.replica().access_token())
    await until(lambda: not waiting.done(), "somebody waits for the one that died")
    desk.set("lease_until = clock_timestamp()")
    yield
    with contextlib.suppress(VendorAuthFailed):
        await waiting


class _Killed(Exception):
    """The process died here."""


class _Dead(TokenStore):
    """A process that dies before it keeps what it was given."""

    async def keep(self, place: Place, generation: int, tokens: Tokens) -> None:
        """Die."""
        raise _Killed


async def test_a_killed_refresher_ends_in_reconnect_needed_where_tokens_rotate(desk: Desk) -> None:
    """The old refresh token is tried once more, refused, and that is the end: no loop, and a clear reason."""
    async with killed_in_the_middle(desk):
        for _ in range(3):
            with pytest.raises(VendorAuthFailed, match="reconnect needed"):
                await desk.replica().access_token()
    assert desk.authority.refreshes == 2
    assert "reconnect needed" in await desk.reconnect_reason()


async def test_a_killed_refresher_does_no_harm_where_tokens_stay(desk: Desk) -> None:
    """Where the old refresh token is still good, the next process works, by one more refresh."""
    desk.authority.rotates = False
    async with killed_in_the_middle(desk):
        assert await desk.replica().access_token() in desk.authority.access
    assert desk.authority.refreshes == 2
    assert await desk.reconnect_reason() == ""


async def test_the_database_may_fail_when_the_answer_is_there(desk: Desk) -> None:
    """What the vendor gave is committed again and again, an unknown outcome included, and used after it."""
    flaky = _Flaky(desk.stores.database, desk.stores.tokens._vault)
    assert await desk.replica(flaky).access_token() in desk.authority.access
    assert flaky.failures == 0
    assert desk.row()["generation"] == 1


class _Flaky(TokenStore):
    """Keeps the tokens, and says at first that it does not know."""

    failures = 1

    async def keep(self, place: Place, generation: int, tokens: Tokens) -> None:
        """Keep them, and forget that."""
        await super().keep(place, generation, tokens)
        if self.failures:
            self.failures -= 1
            raise Unavailable("lost in COMMIT")


async def test_an_asker_that_goes_away_loses_no_token(desk: Desk) -> None:
    """A call that is cancelled during its refresh leaves that to end, and the answer is kept."""
    desk.authority.delay = 0.2
    source = desk.replica()
    asking = asyncio.create_task(source.access_token())
    await until(lambda: desk.authority.under_way == 1, "the refresh is under way")
    asking.cancel()
    assert await source.access_token() in desk.authority.access
    assert desk.authority.refreshes == 1


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.DIES_BEFORE])
async def test_a_token_endpoint_in_trouble_is_left_alone_for_a_while(desk: Desk, fault: Fault) -> None:
    """After a failure nobody asks before the pause is over; then all is well again."""
    desk.authority.faults = [fault]
    for _ in range(4):
        with pytest.raises(VendorUnavailable) as caught:
            await desk.replica().access_token()
        assert caught.value.retry_after
    assert desk.authority.refreshes == 1
    desk.set("not_before = clock_timestamp()")
    assert await desk.replica().access_token() in desk.authority.access
    assert desk.row()["failures"] == 0


async def test_trouble_before_the_end_is_nobodys_trouble(desk: Desk) -> None:
    """While the old token is valid, a refresh that fails keeps nobody from calling."""
    first = await desk.replica().access_token()
    desk.set("ends_at = clock_timestamp() + interval '20 seconds'")
    desk.authority.faults = [Fault.BUSY]
    assert await desk.replica().access_token() == first
    assert await desk.replica().access_token() == first
    assert desk.authority.refreshes == 2


@pytest.mark.parametrize("fault", [Fault.DIES_AFTER, Fault.GARBAGE])
async def test_a_lost_answer_of_a_rotating_vendor_needs_a_reconnect(desk: Desk, fault: Fault) -> None:
    """Traded in, but never told what for: the next try is refused, and no other follows."""
    desk.authority.faults = [fault]
    with pytest.raises(VendorUnavailable):
        await desk.replica().access_token()
    desk.set("not_before = clock_timestamp()")
    for _ in range(3):
        with pytest.raises(VendorAuthFailed, match="reconnect needed"):
            await desk.replica().access_token()
    assert desk.authority.refreshes == 2


async def test_the_token_before_is_tried_where_the_new_one_never_worked(desk: Desk) -> None:
    """A vendor that forgot the newest refresh token but knows the one before lets us go on."""
    sent = desk.account.credentials["refresh_token"]
    await desk.replica().access_token()
    desk.authority.refresh = {sent}
    desk.set("ends_at = clock_timestamp() - interval '1 second'")
    assert await desk.replica().access_token() in desk.authority.access
    assert desk.authority.refreshes == 3


async def test_a_token_refused_in_mid_batch_is_renewed_once(desk: Desk) -> None:
    """Calls whose token ends early are made once more with the next one; both replicas need one refresh."""
    doors = []
    for _ in range(2):
        calls = desk.calls()
        account = calls.account(desk.place.organization_id, desk.account, desk.manifest)
        doors.append((account, calls.door(account, desk.manifest)))
    old = await doors[0][0].access_token()
    desk.set("refreshed_at = clock_timestamp() - interval '2 minutes'")
    desk.authority.end(old)
    headers = {"Authorization": f"Bearer {old}"}
    answers = [await door.request("GET", f"{desk.url}/resource", headers=headers) for _, door in doors]
    assert [answer.status for answer in answers] == [200, 200]
    assert desk.authority.refreshes == 2


async def test_a_vendor_that_refuses_what_it_has_just_given_is_no_loop(desk: Desk) -> None:
    """A token refused at once is not worth another: the call fails, however often it is tried."""
    calls = desk.calls()
    account = calls.account(desk.place.organization_id, desk.account, desk.manifest)
    door = calls.door(account, desk.manifest)
    token = await account.access_token()
    desk.authority.access.clear()
    for _ in range(5):
        with pytest.raises(VendorAuthFailed):
            await door.request("GET", f"{desk.url}/resource", headers={"Authorization": f"Bearer {token}"})
    assert desk.authority.refreshes == 1
