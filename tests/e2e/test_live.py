"""Whoever watches a wedding sees every change once, in order, and goes on where they were."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp

from tests.e2e.conftest import Wedding, until
from tests.support.stack import Stack
from wedsync.client.sync import CALLER
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

_SECONDS = 20.0


def _task(title: str) -> Change:
    return Change(
        change_id=new_id(),
        item_id=new_id(),
        item_kind=ItemKind.TASK,
        kind=ChangeKind.CREATE,
        source=CALLER,
        values={"title": title},
    )


async def test_a_watch_shows_each_change_once_and_resumes_at_a_sequence(wedding: Wedding) -> None:
    """WatchWedding from a sequence on gives the log from there, then live, without gap or repeat."""
    await wedding.quiet()
    sync, begin = wedding.clients.sync, len(await wedding.log())
    await sync.apply_changes(wedding.wedding_id, [_task("Rings"), _task("Vows")])
    seen = []
    async with (
        asyncio.timeout(_SECONDS),
        aclosing(sync.watch_wedding(wedding.wedding_id, begin + 1)) as watch,
    ):
        async for message in watch:
            if not message.HasField("change"):
                await sync.apply_changes(wedding.wedding_id, [_task("Flowers")])
                continue
            seen.append(message.sequence)
            if len(seen) == 2:
                break
    assert seen == [begin + 2, begin + 3]


async def test_server_sent_events_resume_at_the_last_event_id(
    wedding: Wedding, stack: Stack, session: aiohttp.ClientSession
) -> None:
    """An SSE reader that comes back with Last-Event-ID gets exactly what it has missed."""
    await wedding.quiet()
    begin = len(await wedding.log())
    await wedding.clients.sync.apply_changes(wedding.wedding_id, [_task(title) for title in ("A", "B", "C")])
    url = f"{stack.http}/api/weddings/{wedding.wedding_id}/events"
    headers = {"Authorization": f"Bearer {stack.demo_key}", "Last-Event-ID": str(begin + 1)}
    async with asyncio.timeout(_SECONDS), session.get(url, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        titles = []
        async with aclosing(_changes(answer)) as changes:
            async for sequence, change in changes:
                titles.append((sequence, change["fields"][0]["proposed"]["text"]))
                if len(titles) == 2:
                    break
    assert titles == [(begin + 2, "B"), (begin + 3, "C")]


async def test_a_rest_hook_of_tave_brings_a_payment_in(
    wedding: Wedding, stack: Stack, session: aiohttp.ClientSession
) -> None:
    """Tave's own hook, sent to the address that connecting gave, starts the journey of a payment."""
    hook = f"{stack.http}{wedding.webhook_path}?event=payment.created"
    await wedding.photographer.call("POST", "/rest-hook", {"event": "payment.created", "url": hook})
    payment = {"jobId": wedding.photographer.job_id, "amount": 125000, "memo": "Deposit"}
    await wedding.photographer.call("POST", "/payment", payment)

    async def arrived() -> bool:
        items = wedding.clients.sync.list_items(wedding.wedding_id)
        return [
            i.content.payment.amount.minor_units async for i in items if i.content.HasField("payment")
        ] == [125000]

    await until(arrived, "the payment is a canonical item")

    async def logged() -> str:
        webhooks = wedding.clients.gateway.list_webhooks(vendor="tave", state="processed")
        return next(iter([w.webhook_id async for w in webhooks]), "")

    webhook_id = await until(logged, "the webhook is processed")
    journey = await wedding.clients.gateway.get_journey(webhook_id)
    assert journey.stages[0].name == "accepted"
    assert len(journey.trace_id) == 32


async def _changes(answer: aiohttp.ClientResponse) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
    event: dict[str, str] = {}
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name:
            event[name] = value
        elif event:
            if event.get("event") == "change":
                yield int(event["id"]), json.loads(event["data"])
            event = {}
