"""Notifications of push channels at the door: believed by the channel they came by, mostly without a body."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.gateway.channels import Kept
from services.gateway.vendors.inbound import ChannelPlaces, Inbound, Place
from services.gateway.vendors.port import Channel
from tests.support.asgi import Answer
from tests.support.gateway_vendor import manifest
from tests.unit.gateway.http.front import Front
from wedsync.clock import FakeClock

BY_HEADERS = Inbound(
    content_types=frozenset({"application/json"}),
    events=frozenset({"sync", "exists"}),
    event_name=(Place(part="header", name="x-state"),),
    delivery_id=(Place(part="header", name="x-number"),),
    ignores_other_events=True,
    channel=ChannelPlaces(
        channel_id=Place(part="header", name="x-channel"),
        secret=Place(part="header", name="x-token"),
        resource=Place(part="header", name="x-resource"),
        greeting="sync",
    ),
)
IN_A_LIST = replace(
    BY_HEADERS,
    event_name=(),
    delivery_id=(),
    channel=ChannelPlaces(
        channel_id=Place(part="json", name="/channel"),
        secret=Place(part="json", name="/secret"),
        each="/value",
        ends=Place(part="json", name="/life"),
        ending=frozenset({"over"}),
    ),
)
TOLD = {"x-state": "exists", "x-number": "7", "x-channel": "c1", "x-token": "s3cret", "x-resource": "r"}


class ChannelFront(Front):
    """A front whose vendor tells a channel of the link."""

    def __init__(self, inbound: Inbound = BY_HEADERS) -> None:
        super().__init__()
        vendor = self.ports.vendors["desk"]
        self.ports._vendors = {"desk": replace(vendor, manifest=manifest(inbound=inbound))}
        self.open("c1")

    def open(self, name: str, *, opened: bool = True, link_id: str = "") -> None:
        """Keep a channel."""
        now = FakeClock().now()
        channel = Channel(
            channel_id=name,
            secret="s3cret",
            ends_at=now + timedelta(days=7),
            native={"resource_id": "r"} if opened and name == "c1" else {},
        )
        self.memory.channels[name] = Kept(
            id=name,
            link_id=link_id or self.link.link_id,
            channel=channel,
            address="",
            created_at=now,
            opened=opened,
        )

    async def told(self, body: bytes = b"", **headers: str) -> Answer:
        """Send a notification; a header that is empty is left out."""
        sent = {**TOLD, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.hook(body=body, headers={name: value for name, value in sent.items() if value})


async def test_a_notification_has_no_body_and_wakes_its_link() -> None:
    """It is kept with the link to be scanned, its event, and channel and number as the delivery's id."""
    front = ChannelFront()
    answer = await front.told()
    assert answer.status == 202
    [stored] = front.memory.webhooks
    assert answer.json == {"webhook_id": stored.webhook_id}
    assert (stored.wakes, stored.event_name, stored.delivery_key, stored.body) == (
        [front.link.link_id],
        "exists",
        "c1:7",
        b"{}",
    )


async def test_numbers_count_within_their_channel() -> None:
    """The same number of the same channel is known; of another channel it is another notification."""
    front = ChannelFront()
    assert (await front.told()).status == 202
    again = await front.told()
    assert (again.status, again.json["duplicate"]) == (200, True)
    front.open("c2")
    assert (await front.told(x_channel="c2", x_resource="")).status == 202
    assert len(front.memory.webhooks) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"x_token": "wrong"},
        {"x_token": ""},
        {"x_channel": "c2"},
        {"x_channel": ""},
        {"x_resource": "another"},
        {"x_resource": ""},
        {"x_token": "wrong", "x_state": "sync"},
    ],
)
async def test_what_came_by_none_of_our_channels_is_refused(headers: dict[str, str]) -> None:
    """Wrong or missing id, token or resource is answered with 401, and nothing is kept."""
    front = ChannelFront()
    answer = await front.told(b"", **headers)
    assert (answer.status, answer.json["code"]) == (401, "CHANNEL_UNKNOWN")
    assert (front.memory.webhooks, front.seen) == ([], [])


async def test_another_tenants_channel_proves_nothing_here() -> None:
    """A channel counts only at the address of its own account."""
    front = ChannelFront()
    other = replace(front.link, link_id="other", integration_id="another")
    front.memory.links["other"] = other
    front.open("c1", link_id="other")
    assert (await front.told()).status == 401


async def test_a_greeting_is_acknowledged_even_before_the_channel_is_granted() -> None:
    """It is answered and not kept; anything else by a channel that is not granted yet is refused."""
    front = ChannelFront()
    front.open("c1", opened=False)
    answer = await front.told(x_state="sync", x_resource="unheard of")
    assert (answer.status, answer.json) == (202, {"acknowledged": True})
    assert (front.memory.webhooks, len(front.seen)) == ([], 1)
    assert (await front.told()).status == 401


async def test_an_event_of_no_interest_is_thanked_for_and_logged() -> None:
    """It wakes nobody: it is kept as done, with the reason."""
    front = ChannelFront()
    assert (await front.told(x_state="odd")).status == 202
    [stored] = front.memory.webhooks
    assert stored.ignored != ""


async def test_a_body_must_be_what_the_manifest_says() -> None:
    """Where there is a body, its type and form are checked as ever."""
    front = ChannelFront()
    assert (await front.told(b"x", content_type="text/plain")).status == 415
    assert (await front.told(b"[]", content_type="application/json")).status == 400
    assert (await front.told(b"{}", content_type="application/json")).status == 202


@pytest.mark.parametrize(
    ("value", "status", "wakes"),
    [
        ([("c1", "s3cret"), ("c2", "s3cret")], 202, ["other", None]),
        ([("c1", "s3cret"), ("c2", "wrong")], 202, [None]),
        ([("c1", "wrong")], 401, []),
        ([], 401, []),
        ("odd", 401, []),
        (["odd"], 401, []),
    ],
)
async def test_notices_of_several_channels_may_come_together(
    value: Any, status: int, wakes: list[str | None]
) -> None:
    """Each entry of a list is believed by itself; those that prove themselves wake their links."""
    front = ChannelFront(IN_A_LIST)
    front.memory.channels["c1"] = replace(
        front.memory.channels["c1"], channel=replace(front.memory.channels["c1"].channel, native={})
    )
    front.memory.links["other"] = replace(front.link, link_id="other")
    front.open("c2", link_id="other")
    entries = [{"channel": e[0], "secret": e[1]} if isinstance(e, tuple) else e for e in value]
    answer = await front.hook({"value": entries if isinstance(value, list) else value})
    assert answer.status == status
    woken = [link for stored in front.memory.webhooks for link in stored.wakes]
    assert sorted(woken) == sorted(link or front.link.link_id for link in wakes)


@pytest.mark.parametrize(
    ("life", "secret", "ending"),
    [("over", "s3cret", ["c2"]), ("missed", "s3cret", []), ("over", "wrong", []), (["over"], "s3cret", [])],
)
async def test_a_channel_may_say_that_it_ends(life: Any, secret: str, ending: list[str]) -> None:
    """Its successor is asked for, where the notice proves itself; the others of the batch go on."""
    front = ChannelFront(IN_A_LIST)
    front.open("c2")
    front.open("c3")
    told = [{"channel": "c2", "secret": secret, "life": life}, {"channel": "c3", "secret": "s3cret"}]
    assert (await front.hook({"value": told})).status == 202
    assert front.channels.ending == ending
    assert [list(stored.wakes) for stored in front.memory.webhooks] == [[front.link.link_id]]
