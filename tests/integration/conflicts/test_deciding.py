"""Conflicts are decided by people and policies, and what follows reaches the wedding once, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.conflicts.conftest import Running, a_claim, a_collision
from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.errors import (
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    StaleRevision,
    Unavailable,
    WeddingPaused,
    WedSyncError,
)
from wedsync.model.changes import Change, ChangeKind
from wedsync.model.ids import act_id, announcement_id, conflict_id, new_id

WITHIN_SECONDS = 20


async def opened(running: Running, **but: Any) -> tuple[str, service_pb2.Collision]:
    """Hand a collision over; return the conflict's id."""
    collision = a_collision(**but)
    await running.client("sync").adjudicate([collision])
    return conflict_id(collision.wedding_id, collision.sequence, collision.path), collision


def request(conflict: str, **but: Any) -> service_pb2.ResolveConflictRequest:
    """Return a decision for the proposed value."""
    fields = {"request_id": new_id(), "conflict_id": conflict, "choice": service_pb2.CHOICE_PROPOSED, **but}
    return service_pb2.ResolveConflictRequest(**fields)


async def applied(running: Running, change_id: str) -> Change:
    """Wait until a change has reached the wedding."""
    async with asyncio.timeout(WITHIN_SECONDS):
        return await running.sync.having(change_id)


def an_ending(collision: service_pb2.Collision, title: str = "Opening dance") -> service_pb2.Ending:
    """Return the end of a collision."""
    return service_pb2.Ending(
        wedding_id=collision.wedding_id,
        sequence=collision.sequence,
        item_id=collision.item_id,
        item_kind=collision.item_kind,
        path=collision.path,
        final=a_claim(title, "ada"),
        commit_time=collision.commit_time,
        organization_ids=collision.organization_ids,
    )


async def test_people_are_asked_and_told_how_it_ended(running: Running) -> None:
    """An open conflict becomes one message with the question, which later says the outcome."""
    conflict, collision = await opened(running)
    asked = await applied(running, act_id(conflict, "announce"))
    assert (asked.kind, asked.item_id) == (ChangeKind.CREATE, announcement_id(conflict))
    assert asked.values["conflict_id"] == conflict
    assert "ada (stays for now): First dance" in str(asked.values["text"])
    assert "grace: Opening dance" in str(asked.values["text"])
    await running.client("sync").adjudicate([], [an_ending(collision)])
    told = await applied(running, act_id(conflict, "conclude"))
    assert (told.kind, told.item_id, told.values["conflict_id"]) == (ChangeKind.UPDATE, asked.item_id, None)
    assert "settled: Opening dance" in str(told.values["text"])


async def test_nobody_is_asked_about_what_is_over(running: Running) -> None:
    """An ending that comes before its conflict leaves nothing to ask and nothing to tell."""
    collision = a_collision()
    await running.client("sync").adjudicate([], [an_ending(collision)])
    await running.client("sync").adjudicate([collision])
    later, _ = await opened(running)
    await applied(running, act_id(later, "announce"))
    assert {change.item_id for change in running.sync.applied} == {announcement_id(later)}


@pytest.mark.parametrize(
    ("choice", "value", "title"),
    [
        (service_pb2.CHOICE_CURRENT, None, "First dance"),
        (service_pb2.CHOICE_PROPOSED, None, "Opening dance"),
        (service_pb2.CHOICE_VALUE, value_pb2.FieldValue(text="Waltz"), "Waltz"),
    ],
    ids=["current", "proposed", "third"],
)
async def test_a_decision_is_carried_into_the_wedding(
    running: Running, choice: service_pb2.Choice.ValueType, value: Any, title: str
) -> None:
    """Either side or a third value is set on behalf of who decided, having seen both sides."""
    conflict, collision = await opened(running, as_of_sequence=9)
    decided = await running.client("writer").resolve_conflict(
        request(conflict, choice=choice, value=value, note="Asked the couple.")
    )
    assert decided.state == service_pb2.CONFLICT_STATE_DECIDED
    assert (decided.decision.value.text, decided.decision.source.actor) == (title, "writer")
    assert (decided.decision.reason, decided.decision.policy) == ("Asked the couple.", "")
    change = await applied(running, decided.decision.change_id)
    assert (change.kind, change.item_id) == (ChangeKind.UPDATE, collision.item_id)
    assert (change.values, change.base, change.default_base) == ({"title": title}, {"title": 9}, 9)
    assert (change.source.actor, change.source.link_id) == ("writer", None)
    [listed] = [
        c
        async for c in running.client("studio").list_conflicts(
            wedding_id=collision.wedding_id, state=service_pb2.CONFLICT_STATE_DECIDED
        )
    ]
    assert listed.conflict_id == conflict
    assert "by writer" in listed.summary


async def test_a_decision_is_made_once(running: Running) -> None:
    """The same request again gets the same answer; another one is told how it was decided."""
    conflict, _ = await opened(running)
    first = request(conflict)
    answers = [await running.client("writer").resolve_conflict(first) for _ in range(2)]
    assert answers[0] == answers[1]
    for again in (request(conflict), request(conflict, request_id=first.request_id, choice=1)):
        with pytest.raises(FailedPrecondition, match="by writer"):
            await running.client("writer").resolve_conflict(again)


async def test_what_is_over_is_not_decided(running: Running) -> None:
    """A conflict that ended meanwhile is refused with the outcome."""
    conflict, collision = await opened(running)
    await running.client("sync").adjudicate([], [an_ending(collision)])
    with pytest.raises(FailedPrecondition, match="settled: Opening dance"):
        await running.client("writer").resolve_conflict(request(conflict))


async def test_only_members_who_may_write_decide(running: Running) -> None:
    """A reader, a stranger's conflict and somebody who speaks for others are refused."""
    conflict, _ = await opened(running)
    foreign, _ = await opened(running, organization_ids=["florist"])
    with pytest.raises(PermissionDenied):
        await running.client("studio").resolve_conflict(request(conflict))
    with pytest.raises(NotFound):
        await running.client("writer").resolve_conflict(request(foreign))
    source = source_pb2.Source(organization_id="studio", actor="U1")
    with pytest.raises(InvalidRequest):
        await running.client("writer").resolve_conflict(request(conflict, source=source))


async def test_a_service_decides_on_behalf_of_a_person(running: Running) -> None:
    """The person who clicked in a vendor's system is named as who decided; strangers stay strangers."""
    conflict, _ = await opened(running)
    person = source_pb2.Source(organization_id="studio", actor="U061F7AUR", vendor="slack")
    decided = await running.client("sync").resolve_conflict(request(conflict, source=person))
    assert decided.decision.source == person
    assert "by U061F7AUR in slack" in decided.summary
    stranger = source_pb2.Source(organization_id="florist", actor="U2", vendor="slack")
    with pytest.raises(NotFound):
        await running.client("sync").resolve_conflict(request(conflict, source=stranger))


@pytest.mark.parametrize(
    ("but", "field"),
    [
        ({"request_id": "1"}, "request_id"),
        ({"conflict_id": "1"}, "conflict_id"),
        ({"choice": 0}, "choice"),
        ({"choice": 9}, "choice"),
        ({"note": "x" * 1001}, "note"),
        ({"note": "a\x00b"}, "note"),
        ({"value": value_pb2.FieldValue(text="x")}, "value"),
        ({"choice": 3, "value": value_pb2.FieldValue(flag=True)}, "value"),
        ({"choice": 3, "value": value_pb2.FieldValue(text="x" * 100_000)}, "value"),
        ({"source": source_pb2.Source(organization_id="studio")}, "source"),
    ],
    ids=str,
)
async def test_a_bad_decision_says_which_field_is_wrong(
    running: Running, but: dict[str, Any], field: str
) -> None:
    """Nothing is decided, and the violation names the field."""
    conflict, _ = await opened(running)
    with pytest.raises(InvalidRequest) as refused:
        await running.client("sync" if "source" in but else "writer").resolve_conflict(
            request(conflict, **but)
        )
    assert [violation.field for violation in refused.value.violations] == [field]
    found = await running.client("studio").get_conflict(conflict)
    assert found.state == service_pb2.CONFLICT_STATE_OPEN


def _life(*, deleted: bool, actor: str, **values: str) -> service_pb2.Claim:
    return service_pb2.Claim(
        value=value_pb2.FieldValue(flag=True) if deleted else value_pb2.FieldValue(),
        source=source_pb2.Source(organization_id="studio", actor=actor),
        values={path: value_pb2.FieldValue(text=text) for path, text in values.items()},
    )


@pytest.mark.parametrize("choice", [service_pb2.CHOICE_CURRENT, service_pb2.CHOICE_PROPOSED])
async def test_a_decision_between_life_and_death_deletes_or_brings_back(
    running: Running, choice: service_pb2.Choice.ValueType
) -> None:
    """For the delete the item is deleted; for the edit it is brought back with what was edited."""
    conflict, _ = await opened(
        running,
        path="deleted_at",
        current=_life(deleted=True, actor="ada"),
        proposed=_life(deleted=False, actor="grace", title="Late dance"),
    )
    with pytest.raises(InvalidRequest):
        await running.client("writer").resolve_conflict(
            request(conflict, choice=3, value=value_pb2.FieldValue(flag=True))
        )
    decided = await running.client("writer").resolve_conflict(request(conflict, choice=choice))
    first = await applied(running, decided.decision.change_id)
    if choice == service_pb2.CHOICE_CURRENT:
        assert first.kind is ChangeKind.DELETE
    else:
        assert first.kind is ChangeKind.RESTORE
        edit = await applied(running, act_id(conflict, "decide:values"))
        assert (edit.kind, edit.values) == (ChangeKind.UPDATE, {"title": "Late dance"})


async def test_a_policy_decides_without_asking(running: Running) -> None:
    """What the payment processor says of a payment wins over the CRM, by a named rule."""

    def paid(status: str, actor: str, category: str) -> service_pb2.Claim:
        source = source_pb2.Source(organization_id="studio", actor=actor, category=category)
        return service_pb2.Claim(value=value_pb2.FieldValue(text=status), source=source)

    conflict, collision = await opened(
        running,
        item_kind=item_pb2.ITEM_KIND_PAYMENT,
        path="status",
        current=paid("pending", "tave", "crm"),
        proposed=paid("paid", "stripe", "payment_processor"),
    )
    change = await applied(running, act_id(conflict, "decide"))
    assert (change.values, change.source.actor) == ({"status": "paid"}, "policy:payment_processor_first")
    assert change.source.policy == "payment_processor_first@1"
    found = await running.client("studio").get_conflict(conflict)
    assert (found.state, found.decision.policy_version) == (service_pb2.CONFLICT_STATE_DECIDED, 1)
    assert found.decision.reason
    await running.client("sync").adjudicate([collision])
    other, _ = await opened(running)
    await applied(running, act_id(other, "announce"))
    assert announcement_id(conflict) not in running.sync.items


@pytest.mark.parametrize("refusal", [Unavailable, WeddingPaused])
async def test_while_the_wedding_takes_nothing_decisions_wait(
    running: Running, refusal: type[WedSyncError]
) -> None:
    """What may pass, the service away or a pause, is tried again with the same change id until it is done."""
    running.sync.refusals = [refusal("not now", retry_after=0.01) for _ in range(3)]
    conflict, _ = await opened(running)
    decided = await running.client("writer").resolve_conflict(request(conflict))
    change = await applied(running, decided.decision.change_id)
    assert change.values == {"title": "Opening dance"}
    assert running.sync.refusals == []


async def test_what_cannot_be_carried_out_is_shown(running: Running) -> None:
    """A decision that the wedding refuses for good is parked, and the conflict says why."""
    conflict, _ = await opened(running)
    await applied(running, act_id(conflict, "announce"))
    running.sync.refusals = [StaleRevision("The wedding is gone.")]
    await running.client("writer").resolve_conflict(request(conflict))
    said = ""
    async with asyncio.timeout(WITHIN_SECONDS):
        while "could not be carried out" not in said:
            said = (await running.client("studio").get_conflict(conflict)).summary
    assert said.endswith("could not be carried out: The wedding is gone.")


async def test_a_conflict_says_when_its_sides_spoke(running: Running) -> None:
    """The times of both values come from the wedding's log; without it the conflict is shown all the same."""
    wedding = running.sync.add_wedding("studio")
    for title in ("First dance", "Opening dance"):
        await running.sync.edit(wedding, {"title": title})
    sides = [service_pb2.Claim(revision=n + 1) for n in range(2)]
    for side, claim in zip(sides, (a_claim("a", "ada"), a_claim("b", "grace")), strict=True):
        side.MergeFrom(claim)
    conflict, _ = await opened(running, wedding_id=wedding, current=sides[0], proposed=sides[1])
    await applied(running, act_id(conflict, "announce"))
    found = await running.client("studio").get_conflict(conflict)
    assert found.current.set_time == running.sync.log[0].commit_time
    assert found.proposed.set_time == running.sync.log[1].commit_time
    running.sync.refusals = [StaleRevision("no log")]
    found = await running.client("studio").get_conflict(conflict)
    assert not found.current.HasField("set_time")
