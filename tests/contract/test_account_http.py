"""The door as an account's adapter gets it, against a real server: breaker, budget, and lessons."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from services.gateway.calls.account_http import AccountHttp
from services.gateway.calls.breaker import FAILURES, FIRST_SECONDS
from services.gateway.calls.breakers import Breakers
from services.gateway.calls.budget import MAX_WAIT_SECONDS, Budget
from services.gateway.calls.lanes import in_lane
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.port import (
    BudgetSpent,
    NotCalled,
    VendorAuthFailed,
    VendorResting,
    VendorUnavailable,
)
from services.gateway.vendors.rate_limit import Disguise, RateLimit
from tests.support.gateway_process import until
from tests.support.gateway_vendor import manifest
from wedsync.clock import FakeClock, SystemClock
from wedsync.model.changes import Priority
from wedsync.runtime.limiter import LocalLimiter

WIDE = RateLimit(requests_per_second=1000, concurrency=100)
GOOGLE = Disguise(status=403, pointer="/reason", values=frozenset({"rateLimitExceeded"}))


@dataclass
class Vendor:
    """A server whose answers the test decides, and a process that calls it."""

    url: str
    http: VendorHttp
    clock: FakeClock | SystemClock = field(default_factory=FakeClock)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    hangs: bool = False
    calls: int = 0
    under_way: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        """Begin with a process that knows nothing."""
        self.limiter, self.breakers = LocalLimiter(self.clock), Breakers(self.clock)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(seconds)

    def door(self, rule: RateLimit = WIDE, account: str = "a") -> AccountHttp:
        """Return an account's door."""
        budget = Budget.of(account, manifest(rate_limit=rule), self.limiter, self.clock)
        return AccountHttp(self.http, account=account, breakers=self.breakers, budget=budget, tokens=None)

    async def answer(self, _: web.BaseRequest) -> web.StreamResponse:
        """Answer as told."""
        self.calls += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.hangs:
                await asyncio.sleep(60)
            await asyncio.sleep(0.01)
            return web.Response(status=self.status, headers=self.headers, text=self.body)
        finally:
            self.under_way -= 1


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """A vendor that is well."""
    async with VendorHttp(limits=Limits(allow_private=True, connections_per_host=100)) as http:
        made = Vendor("", http)
        runner = web.ServerRunner(web.Server(made.answer), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield made
        await runner.cleanup()


async def outcome(door: AccountHttp, vendor: Vendor) -> str:
    """Return how one call ended."""
    try:
        await door.request("GET", vendor.url, timeout=0.1)
    except VendorUnavailable as error:
        return type(error).__name__
    return "answered"


async def test_a_vendor_that_hangs_costs_few_time_outs(vendor: Vendor) -> None:
    """Of two hundred calls one after the other only the first few wait for their time-out."""
    vendor.hangs = True
    door = vendor.door()
    ends = Counter([await outcome(door, vendor) for _ in range(200)])
    assert ends == {"VendorUnavailable": FAILURES, "VendorResting": 200 - FAILURES}
    assert vendor.calls == FAILURES


async def test_one_probe_finds_out_that_it_is_well_again(vendor: Vendor) -> None:
    """After the pause, of fifty calls at once one goes; once it is answered all go."""
    vendor.status = 500
    door = vendor.door()
    for _ in range(FAILURES):
        await outcome(door, vendor)
    vendor.status, vendor.calls = 200, 0
    vendor.wait(FIRST_SECONDS)
    ends = Counter(await asyncio.gather(*(outcome(door, vendor) for _ in range(50))))
    assert ends == {"answered": 1, "VendorResting": 49}
    assert vendor.calls == 1
    assert {await outcome(door, vendor) for _ in range(5)} == {"answered"}


async def test_one_accounts_trouble_is_not_anothers(vendor: Vendor) -> None:
    """Another account at the same vendor is still called."""
    vendor.status = 500
    for _ in range(FAILURES):
        await outcome(vendor.door(), vendor)
    vendor.status = 200
    assert await outcome(vendor.door(), vendor) == "VendorResting"
    assert await outcome(vendor.door(account="b"), vendor) == "answered"


async def test_refusals_are_no_sign_of_being_down(vendor: Vendor) -> None:
    """A vendor that answers 401 or 404 is well; it only says no."""
    door = vendor.door()
    for vendor.status in (401, 404) * FAILURES:
        with contextlib.suppress(VendorAuthFailed):
            await door.request("GET", vendor.url)
    assert vendor.breakers.rest("a") is None


async def test_a_probe_that_is_cancelled_leaves_room_for_the_next(vendor: Vendor) -> None:
    """A probe whose caller goes away does not keep the vendor from being asked again."""
    vendor.status = 500
    door = vendor.door()
    for _ in range(FAILURES):
        await outcome(door, vendor)
    vendor.wait(FIRST_SECONDS)
    vendor.hangs = True
    probe = asyncio.create_task(door.request("GET", vendor.url))
    await until(lambda: vendor.under_way == 1, "the probe is under way")
    probe.cancel()
    await asyncio.wait([probe])
    vendor.hangs, vendor.status = False, 200
    assert await outcome(door, vendor) == "answered"


@pytest.mark.parametrize(
    ("status", "body"), [(429, "{}"), (403, json.dumps({"reason": "rateLimitExceeded"}))]
)
async def test_after_too_many_calls_nobody_calls_for_as_long_as_asked(
    vendor: Vendor, status: int, body: str
) -> None:
    """429, or what the manifest says is the same, holds back every call of the account for so long."""
    rule = replace(WIDE, disguises=(GOOGLE,))
    vendor.status, vendor.body, vendor.headers = status, body, {"Retry-After": "30"}
    with pytest.raises(VendorUnavailable) as caught:
        await vendor.door(rule).request("POST", vendor.url)
    assert (caught.value.retry_after, caught.value.unknown_outcome) == (30.0, False)
    vendor.status = 200
    for _ in range(50):
        with pytest.raises(BudgetSpent) as spent:
            await vendor.door(rule).request("POST", vendor.url)
        assert spent.value.retry_after == pytest.approx(30.0)
    assert vendor.calls == 1
    vendor.wait(30)
    await vendor.door(rule).request("POST", vendor.url)


async def test_a_403_of_another_kind_is_a_refusal(vendor: Vendor) -> None:
    """What the manifest does not name stays a refusal of our credentials."""
    vendor.status, vendor.body = 403, json.dumps({"reason": "forbidden"})
    with pytest.raises(VendorAuthFailed):
        await vendor.door(replace(WIDE, disguises=(GOOGLE,))).request("GET", vendor.url)
    shown = await vendor.door().request("GET", vendor.url, returns=frozenset({403}))
    assert shown.body.decode() == vendor.body


async def test_no_more_calls_at_once_than_the_vendor_allows(vendor: Vendor) -> None:
    """Thirty calls wait for the three places, and all are made in the end."""
    # Places become free in true time.
    server, vendor = vendor, Vendor(vendor.url, vendor.http, SystemClock())
    door = vendor.door(replace(WIDE, concurrency=3))
    with in_lane(Priority.EMERGENCY):
        ends = await asyncio.gather(*(outcome(door, vendor) for _ in range(30)))
    assert Counter(ends) == {"answered": 30}
    assert server.most_at_once == 3


async def test_nobody_waits_long(vendor: Vendor) -> None:
    """A call that would wait longer than the bound is not made, and says when to come back."""
    door = vendor.door(RateLimit(requests_per_second=0.1, concurrency=5))
    with in_lane(Priority.EMERGENCY):
        assert [await outcome(door, vendor) for _ in range(3)] == ["answered", "answered", "BudgetSpent"]
        with pytest.raises(NotCalled) as caught:
            await door.request("GET", vendor.url)
    assert caught.value.retry_after == pytest.approx(10.0)
    assert MAX_WAIT_SECONDS < 10.0


async def test_the_urgent_go_first(vendor: Vendor) -> None:
    """After a flood of work in masses there is still room for people's edits, and then for emergencies."""
    door = vendor.door(RateLimit(requests_per_second=0.2, concurrency=100))
    door._budget = replace(door._budget, allowance=replace(door._budget.allowance, burst=20))
    made = {}
    for lane in (Priority.BULK, Priority.NORMAL, Priority.CRITICAL, Priority.EMERGENCY):
        with in_lane(lane):
            made[lane] = [await outcome(door, vendor) for _ in range(30)].count("answered")
    assert list(made.values()) == [8, 6, 4, 2]


async def test_a_resting_vendor_uses_up_no_budget(vendor: Vendor) -> None:
    """Calls that the breaker holds back take nothing from what the vendor allows."""
    vendor.status = 500
    rule = RateLimit(requests_per_second=10, concurrency=5)
    door = vendor.door(rule)
    with in_lane(Priority.EMERGENCY):
        for _ in range(40):
            await outcome(door, vendor)
        vendor.status = 200
        vendor.breakers = Breakers(vendor.clock)
        assert await outcome(vendor.door(rule), vendor) == "answered"
    with pytest.raises(VendorResting):
        await door.request("GET", vendor.url)
