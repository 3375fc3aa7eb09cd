"""One edit, one trace: from the vendor that tells us to the last vendor that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import Wedding
from tests.support.people import Photographer
from tests.support.processes import eventually, mentioning
from tests.support.stack import Stack, running_stack
from wedsync.model.ids import new_id
from wedsync.testing.otlp import OtlpReceiver, Span

GATEWAY, SYNC = "wedsync-gateway", "wedsync-sync"

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

WholeTrace = Callable[[str, str], Sequence[Span]]


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
    """Accept, translate, apply, actor, commit, deliver and the vendor's call hang on each other in one trace."""
    await _second_studio(wedding, stack, session)
    before = _traces(receiver)
    hook = {"event": "payment.created", "url": f"{stack.http}{wedding.webhook_path}?event=payment.created"}
    await wedding.photographer.call("POST", "/rest-hook", hook)
    payment = {"jobId": wedding.photographer.job_id, "amount": 120_000, "transactionId": "deposit"}
    await wedding.photographer.call("POST", "/payment", payment)
    trace = await _complete(receiver, before, first="accept", last="vendor POST")
    _is_unbroken(trace)
    assert _chain(trace, "vendor POST") == [
        (GATEWAY, "accept"),
        (GATEWAY, "translate"),
        (SYNC, "apply"),
        (SYNC, "actor"),
        (SYNC, "commit"),
        (GATEWAY, "deliver"),
        (GATEWAY, "vendor POST"),
    ]
    assert _pids(trace, "actor") <= set(_children_pids(stack))


async def test_an_edit_found_by_polling_begins_with_its_detection(
    wedding: Wedding, receiver: OtlpReceiver
) -> None:
    """An event found in the calendar is traced from its detection to the write in Tave."""
    before = _traces(receiver)
    await wedding.couple.plan(_TOASTS.format(uid=new_id()))
    await wedding.clients.gateway.sync_now(wedding.links["apple_calendar"])
    trace = await _complete(receiver, before, first="detected", last="vendor POST")
    _is_unbroken(trace)
    assert [name for _, name in _chain(trace, "vendor POST")] == [
        "detected",
        "translate",
        "apply",
        "actor",
        "commit",
        "deliver",
        "vendor POST",
    ]
