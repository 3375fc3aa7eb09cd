"""One edit, one trace: from the vendor that tells us to the last vendor that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.e2e.conftest import Wedding
from tests.support.people import Photographer
from tests.support.processes import eventually, mentioning
from tests.support.stack import Stack, running_stack
from wedsync.model.ids import new_id
from wedsync.testing.otlp import OtlpReceiver, Span
from wedsync.testing.tave import SANDBOX_KEY

_GATEWAY, _SYNC = "wedsync-gateway", "wedsync-sync"

# Nothing is found by accident: a vendor is read when its webhook or SyncNow asks for it.
_NEVER_SECONDS = "3600"
_WAIT_SECONDS = 30.0

_TOASTS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//couple//phone//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20270101T000000Z
DTSTART;TZID=America/New_York:20270612T190000
DTEND;TZID=America/New_York:20270612T193000
SUMMARY:Toasts
END:VEVENT
END:VCALENDAR
"""

_HOPS = ["translate", "apply", "actor", "commit", "deliver", "vendor POST"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    """Where all processes send their spans."""
    with OtlpReceiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def stack(receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that samples and exports every trace."""
    home: Path = tmp_path_factory.mktemp("traced") / "home"
    environment = {
        "WEDSYNC_OTLP_ENDPOINT": receiver.endpoint,
        "WEDSYNC_TRACE_RATIO": "1",
        "WEDSYNC_VENDOR_POLL_SECONDS": _NEVER_SECONDS,
    }
    with running_stack(home, environment) as running:
        yield running
    eventually(lambda: not mentioning(str(home)), 10, "no process of the system is left")


async def test_an_edit_told_by_a_webhook_is_one_trace_to_the_last_vendor_call(
    wedding: Wedding, stack: Stack, receiver: OtlpReceiver, session: aiohttp.ClientSession
) -> None:
    """Accept, translate, apply, actor, commit, deliver and vendor call hang on each other in one trace."""
    await _link_second_studio(wedding, stack, session)
    url = f"{stack.http}{wedding.webhook_path}?event=payment.created"
    await wedding.photographer.call("POST", "/rest-hook", {"event": "payment.created", "url": url})
    payment = {"jobId": wedding.photographer.job_id, "amount": 120_000, "memo": "Deposit"}
    await wedding.photographer.call("POST", "/payment", payment)

    trace = await _whole_trace(receiver, first="accept")
    path = _path_to(trace, "vendor POST")
    assert [span.name for span in path] == ["accept", *_HOPS]
    assert [span.service for span in path] == [_GATEWAY] * 2 + [_SYNC] * 3 + [_GATEWAY] * 2
    assert all(before.start_ns <= after.start_ns for before, after in pairwise(path))
    assert not any(span.error for span in path)
    [actor] = [span for span in path if span.name == "actor"]
    assert "WeddingActor" in " ".join(psutil.Process(actor.attributes["process.pid"]).cmdline())


async def test_an_edit_found_by_looking_is_one_trace_from_its_detection(
    wedding: Wedding, receiver: OtlpReceiver
) -> None:
    """An event found in the calendar is traced from its detection to the write in Tave."""
    await wedding.couple.plan(_TOASTS.format(uid=new_id()))
    await wedding.clients.gateway.sync_now(wedding.links["apple_calendar"])
    await wedding.in_tave("Toasts")
    trace = await _whole_trace(receiver, first="detected")
    path = _path_to(trace, "vendor POST")
    assert [span.name for span in path] == ["detected", *_HOPS]
    assert {span.service for span in trace} == {_GATEWAY, _SYNC}


async def _link_second_studio(wedding: Wedding, stack: Stack, session: aiohttp.ClientSession) -> None:
    """A payment that one studio notes in its Tave is a payment that the other one's Tave must show."""
    other = await Photographer(stack.run["sandbox"]["tave"], session).open_job("Second shooter")
    connected = await wedding.clients.gateway.connect_vendor(
        "tave", credentials={"api_key": SANDBOX_KEY}, base_url=other.base_url
    )
    await wedding.clients.gateway.link_wedding(
        wedding.wedding_id, connected.integration.integration_id, scope={"job_id": other.job_id}
    )


async def _whole_trace(receiver: OtlpReceiver, *, first: str) -> Sequence[Span]:
    """Wait for a trace that begins with this span, ends in a write at a vendor, and misses no parent."""
    found: list[Span] = []

    def whole(spans: Sequence[Span]) -> bool:
        written = {span.trace_id for span in spans if span.name == "vendor POST"}
        begun = {span.trace_id for span in spans if span.name == first and not span.parent_id}
        for trace_id in written & begun:
            found[:] = [span for span in spans if span.trace_id == trace_id]
        return bool(found) and not _orphans(found)

    await asyncio.to_thread(receiver.wait_for, whole, _WAIT_SECONDS)
    assert found, f"no trace from {first!r} to a write at a vendor"
    assert not _orphans(found), "these spans hang in the air"
    assert [span.name for span in found if not span.parent_id] == [first], "a trace has one beginning"
    return found


def _orphans(trace: Sequence[Span]) -> list[tuple[str, str]]:
    """Return the spans whose parent is not in their trace."""
    known = {span.span_id for span in trace}
    return [(span.service, span.name) for span in trace if span.parent_id and span.parent_id not in known]


def _path_to(trace: Sequence[Span], name: str) -> list[Span]:
    """Return the spans from the beginning of a trace to the last of that name, each the next one's parent."""
    by_id = {span.span_id: span for span in trace}
    span = max((s for s in trace if s.name == name), key=lambda s: s.start_ns)
    path = [span]
    while span.parent_id:
        span = by_id[span.parent_id]
        path.insert(0, span)
    return path
