"""Outlook's subscriptions: the simulator tries our own webhook address out, and tells it what moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from services.gateway.channels import Kept
from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import VENDORS, Vendor, load_manifest
from services.gateway.vendors.outlook_calendar.adapter import OutlookCalendar
from services.gateway.vendors.port import (
    Account,
    Channel,
    PushPort,
    Scan,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.asgi import Answer
from tests.support.gateway_vendor import manifest
from tests.unit.gateway.http.front import HOOK, Front
from wedsync.clock import FakeClock
from wedsync.testing.outlook import CALENDAR, TOKEN, Fault, Mailbox, Sandbox, running

MANIFEST = load_manifest(VENDORS / "outlook_calendar")
SECRET = "s3cr3t-7Q"
DINNER: dict[str, Any] = {
    "subject": "Dinner",
    "start": {"dateTime": "2027-06-12T18:00:00", "timeZone": "UTC"},
    "end": {"dateTime": "2027-06-12T20:00:00", "timeZone": "UTC"},
}


@dataclass
class Gateway:
    """Our HTTP front behind a socket, as the vendor's manifest has it; it may be made to fail first."""

    front: Front = field(default_factory=Front)
    url: str = ""
    failures: list[int] = field(default_factory=list)
    answered: asyncio.Queue[tuple[Answer, bytes]] = field(default_factory=asyncio.Queue)

    def speak(self, adapter: OutlookCalendar) -> None:
        """Have the front know the vendor's webhooks, and the adapter that reads them."""
        described = manifest(inbound=MANIFEST.inbound)
        vendor = Vendor(manifest=described, create_adapter=lambda *_: adapter)
        self.front.ports._vendors = {"desk": vendor}

    def keep(self, channel: Channel) -> None:
        """Know a channel from now on."""
        self.front.memory.channels[channel.channel_id] = Kept(
            id=channel.channel_id,
            link_id=self.front.link.link_id,
            channel=channel,
            address=self.url,
            created_at=FakeClock().now(),
            opened=True,
        )

    async def take(self, request: web.Request) -> web.Response:
        """Hand one request to the application."""
        body = await request.read()
        if self.failures:
            return web.Response(status=self.failures.pop(0))
        answer = await self.front.hook(
            body=body,
            headers={"content-type": request.headers.get("content-type", "")},
            query=request.rel_url.raw_query_string,
        )
        self.answered.put_nowait((answer, body))
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    async def next(self) -> tuple[int, Any]:
        """The status and the body of what was told next."""
        answer, body = await asyncio.wait_for(self.answered.get(), 10)
        return answer.status, body


@dataclass
class Bench:
    """A mailbox, our adapter, and our gateway."""

    outlook: Sandbox
    adapter: OutlookCalendar
    gateway: Gateway
    clock: FakeClock
    scan: Scan = field(default_factory=Scan)

    async def opened(self, secret: str = SECRET) -> Channel:
        """A channel to our gateway, whose trial is over."""
        port: PushPort = self.adapter
        channel = await port.open_channel(self.gateway.url, "ours", secret)
        assert [(await self.gateway.next())[0] for _ in range(self.gateway.answered.qsize())] == [200]
        self.gateway.keep(channel)
        return channel

    async def told(self) -> Scan:
        """What is found when the last accepted webhook has its link looked at."""
        await self.outlook.notifier.settled()
        front = self.gateway.front
        assert list(front.memory.webhooks[-1].wakes) == [front.link.link_id]
        self.scan = await self.adapter.scan(self.scan.cursor or None)
        return self.scan

    def last(self) -> dict[str, Any]:
        """The last accepted webhook."""
        return dict(json.loads(self.gateway.front.memory.webhooks[-1].body))


@pytest.fixture(name="bench")
async def _bench() -> AsyncIterator[Bench]:
    clock, gateway = FakeClock(), Gateway()
    sandbox = Sandbox(mailbox=Mailbox(clock), retry_seconds=(0.0, 0.0), answer_seconds=2)
    server = web.Application()
    server.router.add_post(HOOK, gateway.take)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}{HOOK}"
    async with running(sandbox) as url, VendorHttp(limits=Limits(allow_private=True)) as http:
        account = Account(integration_id="i", base_url=url, credentials={"access_token": TOKEN})
        scope = {"calendar_id": CALENDAR, "time_zone": "UTC"}
        adapter = OutlookCalendar(http, MANIFEST, account, scope, clock=clock)
        gateway.speak(adapter)
        yield Bench(sandbox, adapter, gateway, clock)
    await runner.cleanup()


async def test_a_channel_is_opened_once_our_address_has_answered(bench: Bench) -> None:
    """The address gives the token back, decoded and as plain text, before the create is answered."""
    channel = await bench.opened()
    (kept,) = bench.outlook.subscriptions.alive()
    assert (channel.channel_id, channel.secret) == (kept.id, SECRET)
    assert channel.ends_at == bench.clock.now() + timedelta(minutes=4230)
    assert (kept.address, kept.lifecycle_address, kept.state) == (
        bench.gateway.url,
        bench.gateway.url,
        SECRET,
    )
    assert bench.gateway.front.memory.webhooks == []
    await bench.adapter.close_channel(channel)
    await bench.adapter.close_channel(channel)
    assert bench.outlook.subscriptions.alive() == []


async def test_what_moves_is_told_and_read(bench: Bench) -> None:
    """A create, an update and a delete each have the link looked at, and the look finds them."""
    await bench.opened()
    theirs = bench.outlook.add(**DINNER)
    assert [(r.record_id, r.fields["title"]) for r in (await bench.told()).records] == [(theirs, "Dinner")]
    bench.outlook.change(theirs, subject="Supper")
    assert [r.fields["title"] for r in (await bench.told()).records] == ["Supper"]
    bench.outlook.remove(theirs)
    assert (await bench.told()).missing == [theirs]
    assert bench.adapter.hints(bench.last()) == ()
    assert [status for status, _ in [await bench.gateway.next() for _ in range(3)]] == [202] * 3


async def test_a_granted_end_counts(bench: Bench) -> None:
    """Outlook may grant less than was asked for; what ended is told nothing more."""
    bench.outlook.subscriptions.granted_minutes = 60
    channel = await bench.opened()
    assert channel.ends_at == bench.clock.now() + timedelta(minutes=60)
    bench.clock.advance(3_601)
    bench.outlook.add(**DINNER)
    await bench.outlook.notifier.settled()
    assert bench.gateway.front.memory.webhooks == []


async def test_turns_in_the_subscriptions_life_are_believed(bench: Bench) -> None:
    """What was missed is looked for; where the end is told, a successor is asked for."""
    channel = await bench.opened()
    ending = bench.gateway.front.channels.ending
    for event, ended in [("missed", 0), ("reauthorizationRequired", 1), ("subscriptionRemoved", 2)]:
        bench.outlook.subscriptions.lifecycle(event)
        await bench.told()
        assert bench.last()["value"][0]["lifecycleEvent"] == event
        assert ending == [channel.channel_id] * ended
    assert bench.outlook.subscriptions.alive() == []


async def test_a_notification_with_another_secret_is_refused(bench: Bench) -> None:
    """Nothing is kept of what does not carry our secret, and the sender gives up."""
    channel = await bench.opened()
    bench.gateway.keep(replace(channel, secret="another"))
    bench.outlook.add(**DINNER)
    await bench.outlook.notifier.settled()
    assert [status for status, _ in [await bench.gateway.next() for _ in range(3)]] == [401] * 3
    assert (bench.gateway.front.memory.webhooks, bench.outlook.notifier.lost) == ([], 1)


async def test_a_notification_that_was_not_taken_comes_again(bench: Bench) -> None:
    """A 503 of ours costs a repetition and no event."""
    await bench.opened()
    bench.gateway.failures = [503, 503]
    theirs = bench.outlook.add(**DINNER)
    assert [record.record_id for record in (await bench.told()).records] == [theirs]


@pytest.mark.parametrize("failure", [404, 500])
async def test_an_address_that_does_not_answer_gets_no_channel(bench: Bench, failure: int) -> None:
    """The refusal says what to look at, and nothing is subscribed."""
    bench.gateway.failures = [failure]
    with pytest.raises(VendorRejected, match="reached from outside"):
        await bench.adapter.open_channel(bench.gateway.url, "ours", SECRET)
    with pytest.raises(VendorRejected, match="1 to 128"):
        await bench.adapter.open_channel(bench.gateway.url, "ours", "s" * 129)
    assert bench.outlook.subscriptions.alive() == []


@pytest.mark.parametrize(
    "fault",
    [{"cut": "after"}, {"body": "<html>"}, {"status": 503}],
    ids=str,
)
async def test_a_subscription_without_an_answer_is_tried_again_later(
    bench: Bench, fault: dict[str, Any]
) -> None:
    """What came of it is not known: a second one does no harm, and the first ends by itself."""
    bench.outlook.traffic.faults.append(Fault(path="/subscriptions", **fault))
    with pytest.raises(VendorUnavailable):
        await bench.adapter.open_channel(bench.gateway.url, "ours", SECRET)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 403}, VendorRejected),
        ({"body": "{}"}, VendorGarbage),
        ({"body": '{"id": "s", "expirationDateTime": "soon"}'}, VendorGarbage),
        ({"body": '{"expirationDateTime": "2027-01-03T00:00:00.0000000Z"}'}, VendorGarbage),
    ],
    ids=str,
)
async def test_a_grant_that_makes_no_sense_is_no_channel(
    bench: Bench, fault: dict[str, Any], error: type[VendorError]
) -> None:
    """Without the right to subscribe, an id or an end there is nothing to keep."""
    bench.outlook.traffic.faults.append(Fault(path="/subscriptions", **fault))
    with pytest.raises(error):
        await bench.adapter.open_channel(bench.gateway.url, "ours", SECRET)


async def test_a_subscription_is_renewed_and_bounded(bench: Bench) -> None:
    """Asked to last longer it does, up to Outlook's limit; what makes no sense is refused."""
    channel = await bench.opened()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    base = bench.adapter._api._base
    address = f"{base}/subscriptions/{channel.channel_id}"
    bench.clock.advance(3_600)
    async with aiohttp.ClientSession(headers=headers) as session:

        async def patch(**given: Any) -> int:
            async with session.patch(address, json=given) as answer:
                return answer.status

        later = bench.clock.now() + timedelta(minutes=4230)
        assert await patch(expirationDateTime=later.isoformat()) == 200
        async with session.get(address) as answer:
            shown = await answer.json()
        assert shown["expirationDateTime"] == f"{later:%Y-%m-%dT%H:%M:%S}.0000000Z"
        assert (shown["clientState"], shown["changeType"]) == (None, "created,deleted,updated")
        assert await patch(expirationDateTime=(later + timedelta(minutes=5)).isoformat()) == 400
        assert await patch(clientState="mine") == 400
        for given in ({"speed": 1}, {"changeType": "moved"}):
            async with session.post(f"{base}/subscriptions", json=given) as answer:
                assert answer.status == 400
        async with session.delete(f"{base}/subscriptions/none") as answer:
            assert answer.status == 404
