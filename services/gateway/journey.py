"""The recorded path of one webhook or change, put into words and times. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from wedsync.model.changes import ChangeResult

ASKED = "the vendor is asked at once what moved"
"""What becomes of a webhook that says no more than that something did."""


class Nothing(StrEnum):
    """Why a webhook became no change of anything, in the words that are recorded of it."""

    ECHO = "an echo of a write of ours"
    KNOWN = "it shows what is known already"
    NOT_THERE = "the vendor has no such record, and we know of none"
    OUTSIDE = "its record lies outside of what is linked"
    POINTLESS = "it points at no record that is linked"
    UNLINKED = "no active link is concerned"
    IGNORED = "an event of this kind changes nothing here"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStep:
    """What the webhook log says."""

    id: str
    vendor: str
    state: str
    reason: str
    detected_at: datetime
    accepted_at: datetime
    translated_at: datetime | None
    trace_parent: str
    event: str = ""
    repeats: int = 0
    origin: str = "webhook"
    """`webhook`, `poll` for a record that a poll showed and that could not be read, `replay`."""
    attempts: int = 1
    record_id: str | None = None
    """Where it is about one record."""

    @property
    def polled(self) -> bool:
        """Whether a poll found it."""
        return self.origin == "poll"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """What is recorded of a translated change."""

    id: str
    vendor: str
    webhook_id: str | None
    state: str
    reason: str
    detected_at: datetime
    created_at: datetime
    committed_at: datetime | None
    sequence: int | None
    resolved_at: datetime | None
    trace_parent: str
    result: ChangeResult | None = None
    """What became of each field; None while it is on its way."""
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStep:
    """What is recorded of one delivery. `created_at` is when the change was committed."""

    change_id: str
    vendor: str
    state: str
    reason: str
    attempts: int
    sequence: int
    created_at: datetime
    accepted_at: datetime
    started_at: datetime | None
    called_at: datetime | None
    confirmed_at: datetime | None
    closed_at: datetime | None
    trace_parent: str

    @property
    def corrects(self) -> bool:
        """Whether no commit made it due: the vendor shows what is not the truth."""
        return self.sequence == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Everything recorded of one journey."""

    webhook: WebhookStep | None
    changes: Sequence[ChangeStep]
    deliveries: Sequence[DeliveryStep]
    parts: Sequence[WebhookStep] = ()
    """What was set apart from the webhook, each by itself, and its replays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: when it began and ended (None: not yet), and what became of it."""

    name: str
    started_at: datetime
    ended_at: datetime | None
    detail: str = ""


def stages(steps: Steps) -> list[Stage]:
    """Return the stages in order of time."""
    found = [*_webhook(steps.webhook), *_changes(steps), *_deliveries(steps.deliveries)]
    return sorted(found, key=lambda stage: stage.started_at)


def complete(steps: Steps) -> bool:
    """Say whether nothing more is to come."""
    waiting = [step.state == "received" for step in (steps.webhook, *steps.parts) if step]
    waiting += [change.state == "pending" for change in steps.changes]
    waiting += [delivery.state == "due" for delivery in steps.deliveries]
    return bool(waiting) and not any(waiting)


def trace_id(steps: Steps) -> str:
    """Return the trace that holds the journey's spans."""
    recorded = [
        s.trace_parent for s in (steps.webhook, *steps.changes, *steps.deliveries) if s and s.trace_parent
    ]
    return recorded[0].split("-")[1] if recorded else ""


def _webhook(webhook: WebhookStep | None) -> Iterator[Stage]:
    if webhook is None:
        return
    yield Stage(
        name="accepted",
        started_at=webhook.detected_at,
        ended_at=webhook.accepted_at,
        detail=f"from {webhook.vendor}",
    )
    detail = f"{webhook.state}: {webhook.reason}" if webhook.reason else webhook.state
    yield Stage(name="read", started_at=webhook.accepted_at, ended_at=webhook.translated_at, detail=detail)


def _changes(steps: Steps) -> Iterator[Stage]:
    for change in steps.changes:
        first = "translated" if steps.webhook else "detected"
        start = steps.webhook.accepted_at if steps.webhook else change.detected_at
        yield Stage(
            name=first, started_at=start, ended_at=change.created_at, detail=f"an edit in {change.vendor}"
        )
        yield Stage(
            name="committed",
            started_at=change.created_at,
            ended_at=change.committed_at or change.resolved_at,
            detail=_verdict(change),
        )
    commits = [delivery for delivery in steps.deliveries if not delivery.corrects]
    if not steps.changes and commits:
        commit = commits[0]
        # Whether a person or another organization's vendor made it is not for the caller to see.
        detail = f"sequence {commit.sequence}, by no vendor of yours"
        yield Stage(name="committed", started_at=commit.created_at, ended_at=commit.created_at, detail=detail)


def _verdict(change: ChangeStep) -> str:
    if change.state == "pending":
        return "on its way" + (f": {change.reason}" if change.reason else "")
    if change.sequence is None:
        return f"{change.state}: {change.reason}" if change.reason else "nothing new"
    return f"sequence {change.sequence}"


def _deliveries(deliveries: Sequence[DeliveryStep]) -> Iterator[Stage]:
    for delivery in deliveries:
        yield Stage(
            name=f"{delivery.vendor}: {delivery.state}",
            started_at=delivery.accepted_at,
            ended_at=delivery.confirmed_at or delivery.closed_at,
            detail=_tries(delivery),
        )


def _tries(delivery: DeliveryStep) -> str:
    tries = f"{delivery.attempts} tries" if delivery.attempts > 1 else ""
    return ", ".join(part for part in (tries, delivery.reason) if part)
