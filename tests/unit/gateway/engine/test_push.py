"""Keeping channels open: what is kept before a vendor is asked, and what becomes of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from services.gateway.channels import LATER_SECONDS, OVERLAP_SECONDS, SOON_SECONDS
from services.gateway.push import ChannelKeeper
from services.gateway.records import Link
from services.gateway.vendors.inbound import ChannelPlaces, Place
from services.gateway.vendors.manifest import Push
from services.gateway.vendors.port import (
    Channel,
    VendorAuthFailed,
    VendorError,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.gateway_channels import MemoryChannels
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_memory import Memory
from tests.support.gateway_vendor import FakePorts, FakeVendor
from tests.support.gateway_world import World, finish
from wedsync.clock import FakeClock

WEEK, DAY = timedelta(days=7), timedelta(days=1)


@dataclass
class PushingVendor(FakeVendor):
    """A vendor with channels; `seen` is what we had kept when it was asked."""

    memory: Memory = field(default_factory=Memory)
    clock: FakeClock = field(default_factory=FakeClock)
    opened_at: list[str] = field(default_factory=list)
    closed_ids: list[str] = field(default_factory=list)
    seen: list[list[bool]] = field(default_factory=list)

    async def open_channel(self, address: str, channel_id: str, secret: str) -> Channel:
        """Grant a week."""
        self.seen.append([each.opened for each in self.memory.channels.values()])
        self._fail()
        self.opened_at.append(address)
        native: Mapping[str, str] = {"resource_id": "r"}
        return Channel(
            channel_id=f"granted {len(self.opened_at)}",
            secret=secret,
            ends_at=self.clock.now() + WEEK,
            native=native,
        )

    async def close_channel(self, channel: Channel) -> None:
        """Close."""
        self._fail()
        self.closed_ids.append(channel.channel_id)


class Desk:
    """One link, its vendor and the keeper of its channels."""

    def __init__(self, public_url: str | None = "https://wedsync.test/") -> None:
        self.world = World()
        self.memory, self.link = self.world.memory, self.world.links[0]
        self.memory.endpoint_keys[self.link.integration_id] = "key"
        self.clock, self.woken = FakeClock(), list[int]()
        self.vendor = PushingVendor(memory=self.memory, clock=self.clock)
        self.channels = MemoryChannels(self.memory)
        ports = FakePorts(self.memory, {"desk": self.vendor, "diary": FakeVendor()})
        made = ports.vendors["desk"].manifest
        push = Push(
            lifetime_seconds=WEEK.total_seconds(),
            renew_before_seconds=DAY.total_seconds(),
            poll_interval_seconds=900,
        )
        assert made.inbound is not None
        place = Place(part="header", name="x")
        by_channel = replace(made.inbound, channel=ChannelPlaces(channel_id=place, secret=place))
        manifest = replace(made, push=push, inbound=by_channel)
        ports._vendors = {**ports.vendors, "desk": replace(ports.vendors["desk"], manifest=manifest)}
        self.keeper = ChannelKeeper(
            store=self.channels,
            links=MemoryLinks(self.memory),
            ports=ports,
            clock=self.clock,
            public_url=public_url,
            on_opened=lambda: self.woken.append(1),
        )

    def tend(self, link: Link | None = None, failures: int = 0) -> dict[str, object]:
        """Look at the link's channels once; return what was noted."""
        finish(self.keeper.tend(finish(self.channels.due(link or self.link, failures))))
        return self.channels.looks[-1]

    def names(self) -> list[str]:
        """Return the vendor's names of the channels we keep."""
        return [each.channel.channel_id for each in self.memory.channels.values()]


def test_a_channel_is_kept_before_it_is_asked_for() -> None:
    """What greets us before the answer is known; then the answer is kept, and the gap before it is read."""
    desk = Desk()
    noted = desk.tend()
    assert desk.vendor.seen == [[False]]
    assert desk.vendor.opened_at == ["https://wedsync.test/api/integrations/webhooks/desk/key"]
    [kept] = desk.memory.channels.values()
    assert (kept.opened, kept.channel.channel_id, len(kept.channel.secret) > 40) == (True, "granted 1", True)
    assert ({"now": desk.link.link_id} in desk.memory.polls, desk.woken) == (True, [1])
    wait = noted["seconds"]
    assert isinstance(wait, float)
    assert timedelta(days=5.5) <= timedelta(seconds=wait) <= timedelta(days=6)
    assert (noted["failures"], noted["reason"]) == (0, "")


def test_secrets_are_never_the_same() -> None:
    """Every channel proves itself by a secret of its own."""
    desk = Desk()
    desk.tend()
    desk.clock.advance(6.5 * 86_400)
    desk.tend()
    assert len({each.channel.secret for each in desk.memory.channels.values()}) == 2


def test_a_renewal_overlaps() -> None:
    """The new channel is open before the old one is closed, and each is closed once."""
    desk = Desk()
    desk.tend()
    desk.clock.advance(6.5 * 86_400)
    assert desk.tend()["seconds"] == OVERLAP_SECONDS
    assert (desk.names(), desk.vendor.closed_ids) == (["granted 1", "granted 2"], [])
    desk.clock.advance(OVERLAP_SECONDS)
    desk.tend()
    assert (desk.names(), desk.vendor.closed_ids) == (["granted 2"], ["granted 1"])
    desk.tend()
    assert len(desk.vendor.opened_at) == 2


@pytest.mark.parametrize(
    "error",
    [VendorUnavailable("busy"), VendorRejected("not for you"), VendorAuthFailed("who are you")],
)
def test_where_no_channel_can_be_had_it_is_said_and_tried_later(error: VendorError) -> None:
    """The link goes on being polled, says why, and the vendor is asked ever more rarely, within bounds."""
    desk = Desk()
    desk.vendor.failures = [error]
    noted = desk.tend(failures=2)
    assert (noted["failures"], noted["reason"]) == (3, f"no new push channel: {error}; polling goes on")
    assert isinstance(noted["seconds"], float)
    assert SOON_SECONDS <= noted["seconds"] <= LATER_SECONDS
    assert (desk.names(), desk.woken, desk.memory.links[desk.link.link_id].active) == ([], [], True)
    assert desk.tend(failures=3)["reason"] == ""


def test_without_a_public_address_no_vendor_is_asked() -> None:
    """The link says that the setting is missing; channels from before are closed."""
    desk = Desk()
    desk.tend()
    silent = Desk(public_url=None)
    silent.memory.channels |= desk.memory.channels
    noted = silent.tend()
    assert "WEDSYNC_PUBLIC_URL is not set" in str(noted["reason"])
    assert (silent.vendor.opened_at, silent.vendor.closed_ids) == ([], ["granted 1"])
    assert noted["seconds"] == LATER_SECONDS


def test_a_paused_link_has_no_channel() -> None:
    """It is closed, and nothing is said about it: why it is paused counts more."""
    desk = Desk()
    desk.tend()
    noted = desk.tend(replace(desk.link, active=False))
    assert (desk.names(), desk.vendor.closed_ids, noted["reason"]) == ([], ["granted 1"], "")


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (VendorUnavailable("busy"), ["granted 1"]),
        (VendorRejected("no such channel"), []),
        (VendorAuthFailed("who are you"), []),
    ],
)
def test_what_cannot_be_closed_ends_by_itself(error: VendorError, left: list[str]) -> None:
    """A busy vendor is asked again; one that refuses is not."""
    desk = Desk()
    desk.tend()
    desk.vendor.failures = [error]
    desk.tend(replace(desk.link, active=False))
    assert desk.names() == left


async def test_who_takes_leave_closes_what_can_be_closed() -> None:
    """Channels of a vendor that is away end by themselves; of one that answers they are forgotten."""
    desk = Desk()
    desk.tend()
    desk.vendor.failures = [VendorUnavailable("503")]
    await desk.keeper.take_leave([desk.link])
    assert desk.names() == ["granted 1"]
    await desk.keeper.take_leave([desk.link])
    assert desk.names() == []


def test_only_links_of_vendors_that_push_are_looked_at() -> None:
    """The others have no channels to tend."""
    desk = Desk()
    assert [due.link.vendor for due in finish(desk.keeper.claim(10))] == ["desk"]
    desk.keeper._ports._vendors = {}
    assert finish(desk.keeper.claim(10)) == []


def test_while_a_channel_works_its_link_is_polled_rarely() -> None:
    """With a channel the longer interval holds, without one the usual."""
    desk = Desk()
    world, now = desk.world, desk.clock.now()
    pushing = desk.keeper._ports._vendors
    world.ports._vendors = pushing
    for until, least, most in [(None, 9, 11), (now + WEEK, 810, 990), (now - DAY, 9, 11)]:
        world.memory.links[desk.link.link_id] = replace(desk.link, pushed_until=until)
        world.poll(desk.link)
        assert least <= world.memory.polls[-1]["seconds"] <= most
