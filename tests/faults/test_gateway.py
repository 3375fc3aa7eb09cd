"""The gateway between weddings and vendors: killed, mistreated by vendors, told too much and too little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from random import Random

import pytest

from services.gateway.crash_points import (
    CHANGE_ANSWERED,
    CHANGE_STORED,
    COMMITS_STORED,
    INTENT_STORED,
    VENDOR_ANSWERED,
    WEBHOOK_STORED,
)
from tests.faults.bench import Bench
from tests.faults.conftest import lines_of
from tests.faults.gateway_site import TIMEOUT_SECONDS, GatewaySite, running_site
from tests.faults.gateway_trial import ALWAYS, GatewayTrial, running_gateway_trial
from tests.faults.post import COPIES, Post
from wedsync.testing.faults import Answer, Asked, Fault

WEDDINGS = (("google_calendar", "outlook_calendar", "tave"), ("google_calendar", "tave"))
FEW = (("google_calendar", "tave"),)
WITH_MONEY = (("google_calendar", "outlook_calendar", "tave"), ("google_calendar", "tave", "stripe"))
LATE_HOURS = 72
_REFUSED = 5

_INSTEAD = {
    "429": Answer(status=429, headers={"retry-after": "1"}),
    "500": Answer(status=500),
    "garbage": Answer(
        status=200, headers={"content-type": "text/html"}, body=b"<html>We will be back</html>"
    ),
}

Start = Callable[..., AbstractAsyncContextManager[GatewayTrial]]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(bench: Bench) -> Iterator[GatewaySite]:
    """A gateway and its sync service."""
    with running_site(bench) as running:
        yield running


@pytest.fixture
def start(site: GatewaySite, request: pytest.FixtureRequest) -> Start:
    """Puts weddings and their vendors under load for one named fault."""
    lines = lines_of(request.config)

    def started(
        fault: str, weddings: Sequence[Sequence[str]] = WEDDINGS
    ) -> AbstractAsyncContextManager[GatewayTrial]:
        return running_gateway_trial(site, weddings, fault=fault, lines=lines)

    return started


@pytest.mark.parametrize(
    "point",
    [WEBHOOK_STORED, CHANGE_STORED, CHANGE_ANSWERED, COMMITS_STORED, INTENT_STORED, VENDOR_ANSWERED],
)
async def test_a_killed_gateway_loses_and_doubles_nothing(start: Start, point: str) -> None:
    """It dies exactly there and is started again: every vendor ends with the truth, once."""
    async with start(f"gateway killed: {point}") as trial:
        trial.begin()
        await trial.kill(point)
        await trial.recovered()


@pytest.mark.short
async def test_a_gateway_killed_between_a_write_and_its_answer_knows_its_echo(start: Start) -> None:
    """What the vendor shows then is recognised by its intent; leases of the dead one have run out here."""
    async with start(f"gateway killed: {VENDOR_ANSWERED}, leases over", FEW) as trial:
        trial.begin()
        await trial.kill(VENDOR_ANSWERED, leases_end=True)
        await trial.recovered()


async def test_what_cannot_be_stored_is_refused_and_comes_again(site: GatewaySite, start: Start) -> None:
    """While the log takes nothing, webhooks get 503 and a time to come again; none got 2xx for nothing."""
    async with start("gateway: webhooks cannot be stored") as trial:
        refused = trial.relay.refused
        refused.clear()
        trial.begin()
        with site.inbox_closed():
            await trial.until(lambda: len(refused) >= _REFUSED, "webhooks are refused")
        await trial.recovered()
        assert {answer.status for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


@pytest.mark.parametrize(
    "kind", ["slow", pytest.param("429", marks=pytest.mark.short), "500", "garbage", "reset", "silent"]
)
async def test_vendors_out_of_order_lose_and_double_nothing(start: Start, kind: str) -> None:
    """Whatever every vendor answers for a while, and half of it after it did as it was told."""
    async with start(f"vendors: {kind}", FEW if kind == "429" else WEDDINGS) as trial:
        trial.begin()
        async with trial.vendors_answer(lambda: _faults(kind)):
            assert trial.vendors
        await trial.recovered()


@pytest.mark.parametrize(
    "weddings",
    [pytest.param(FEW, marks=pytest.mark.short, id="few"), pytest.param(WITH_MONEY, id="with-money")],
)
async def test_webhooks_lost_repeated_shuffled_and_days_late(
    site: GatewaySite, start: Start, weddings: Sequence[Sequence[str]]
) -> None:
    """One in ten is lost, one comes after three days, the others five times in no order: polls repair it."""
    async with start(f"webhooks mangled: {len(weddings)} weddings", weddings) as trial:
        post = Post(trial.relay)
        trial.begin()
        async with post.running():
            await trial.until(
                lambda: post.lost and post.late and post.brought >= 4 * COPIES, "webhooks are mangled"
            )
            await trial.recovered()
        await trial.finish()
        before = trial.moves()
        await asyncio.to_thread(site.age, LATE_HOURS)
        answers = await post.bring_late(LATE_HOURS)
        signed = {answer for path, answer in answers if "/stripe/" in path}
        assert signed <= {401}, "what was signed days ago is believed no more"
        assert {answer // 100 for path, answer in answers if "/stripe/" not in path} == {2}
        await trial.finish()
        assert trial.moves() == before


def _faults(kind: str) -> Sequence[Fault]:
    """Return what calls meet: of the unanswered ones every other one is carried out."""
    dice = Random(7)  # noqa: S311  # nothing is secret here

    def coin(_: Asked) -> bool:
        return dice.random() < 0.5

    if kind == "slow":
        return [Fault(seconds=TIMEOUT_SECONDS / 2, times=ALWAYS)]
    if kind == "429":
        return [Fault(instead=_INSTEAD[kind], times=ALWAYS)]
    unanswered = Fault(instead=_INSTEAD.get(kind), cut=kind == "reset", silent=kind == "silent", times=ALWAYS)
    return [replace(unanswered, on=coin, carried_out=True), unanswered]
