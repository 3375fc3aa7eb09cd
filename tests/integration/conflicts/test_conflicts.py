"""Collisions become conflicts that exactly the wedding's members see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conflicts.conftest import Running, a_claim, a_collision
from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.convert.changes import timestamp
from wedsync.errors import InvalidRequest, NotFound, PermissionDenied
from wedsync.model.ids import new_id

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def listed(running: Running, key: str = "studio", **filters: object) -> list[service_pb2.Conflict]:
    """Return all conflicts a key may see."""
    return [c async for c in running.client(key).list_conflicts(**filters)]  # type: ignore[arg-type]


async def test_a_collision_becomes_an_open_conflict_with_both_sides(running: Running) -> None:
    """An adjudicated collision is listed as an open conflict that holds both values and both sources."""
    collision = a_collision()
    await running.client("sync").adjudicate([collision])
    [conflict] = await listed(running, wedding_id=collision.wedding_id)
    assert conflict.state == service_pb2.CONFLICT_STATE_OPEN
    assert (conflict.sequence, conflict.path, conflict.item_id) == (7, "title", collision.item_id)
    assert conflict.item_kind == item_pb2.ITEM_KIND_TIMELINE_EVENT
    assert (conflict.current, conflict.proposed) == (collision.current, collision.proposed)
    assert conflict.create_time == collision.commit_time
    assert await running.client("studio").get_conflict(conflict.conflict_id) == conflict


async def test_a_collision_told_again_stays_one_conflict(running: Running) -> None:
    """The same wedding, sequence and field is one conflict with one id, within a batch and across batches."""
    collision = a_collision()
    await running.client("sync").adjudicate([collision, collision])
    before = await listed(running, wedding_id=collision.wedding_id)
    await running.client("sync").adjudicate([collision])
    assert len(before) == 1
    assert await listed(running, wedding_id=collision.wedding_id) == before


async def test_fields_of_one_change_are_conflicts_of_their_own(running: Running) -> None:
    """Two fields that collided in the same change give two conflicts; a delete against an edit is one too."""
    wedding, item = new_id(), new_id()
    title = a_collision(wedding_id=wedding, item_id=item)
    source = source_pb2.Source(
        organization_id="studio", actor="ada", link_id="l", vendor="tave", record_id="r"
    )
    life = a_collision(
        wedding_id=wedding,
        item_id=item,
        path="deleted_at",
        current=service_pb2.Claim(value=value_pb2.FieldValue(), source=source),
        proposed=service_pb2.Claim(value=value_pb2.FieldValue(flag=True), source=source),
    )
    await running.client("sync").adjudicate([title, life])
    found = {c.path: c for c in await listed(running, wedding_id=wedding)}
    assert set(found) == {"title", "deleted_at"}
    assert found["deleted_at"].proposed == life.proposed
    assert found["deleted_at"].current == life.current


async def test_only_members_of_the_wedding_see_a_conflict(running: Running) -> None:
    """An organization that is no member of the wedding neither lists nor gets its conflicts."""
    mine = a_collision()
    ours = a_collision(organization_ids=["florist", "studio"])
    await running.client("sync").adjudicate([mine, ours])
    [hidden] = await listed(running, wedding_id=mine.wedding_id)
    assert await listed(running, "florist", wedding_id=mine.wedding_id) == []
    weddings = {conflict.wedding_id for conflict in await listed(running, "florist")}
    assert ours.wedding_id in weddings
    assert mine.wedding_id not in weddings
    assert len(await listed(running, "florist", wedding_id=ours.wedding_id)) == 1
    with pytest.raises(NotFound):
        await running.client("florist").get_conflict(hidden.conflict_id)


async def test_lists_come_newest_first_in_pages(running: Running) -> None:
    """Pages joined hold every conflict once, newest first, also where several are of one moment."""
    wedding, start = new_id(), datetime(2027, 6, 1, tzinfo=UTC)
    collisions = [
        a_collision(
            wedding_id=wedding, sequence=i + 1, commit_time=timestamp(start + timedelta(hours=i // 3))
        )
        for i in range(11)
    ]
    await running.client("sync").adjudicate(collisions)
    found = await listed(running, wedding_id=wedding, page_size=2)
    assert sorted(c.sequence for c in found) == list(range(1, 12))
    times = [c.create_time.ToDatetime() for c in found]
    assert times == sorted(times, reverse=True)
    state = service_pb2.CONFLICT_STATE_OPEN
    assert await listed(running, wedding_id=wedding, state=state) == found


async def test_only_services_hand_collisions_over(running: Running) -> None:
    """A caller's own key cannot adjudicate, and a key without read cannot look."""
    for key in ("studio", "writer"):
        with pytest.raises(PermissionDenied):
            await running.client(key).adjudicate([a_collision()])
    with pytest.raises(PermissionDenied):
        await running.client("writer").get_conflict(new_id())
    with pytest.raises(PermissionDenied):
        await listed(running, "writer")


async def test_one_bad_collision_keeps_the_batch_out(running: Running) -> None:
    """A batch with a malformed collision is refused naming its field, and none of it is kept."""
    good = a_collision()
    with pytest.raises(InvalidRequest) as refused:
        await running.client("sync").adjudicate([good, a_collision(path="nonsense")])
    assert [v.field for v in refused.value.violations] == ["collisions[1].path"]
    assert await listed(running, wedding_id=good.wedding_id) == []


async def test_questions_that_make_no_sense_are_refused(running: Running) -> None:
    """A bad id, filter, page size or token is named in the violation."""
    client = running.client("studio")
    with pytest.raises(InvalidRequest) as refused:
        await client.get_conflict("first")
    assert [v.field for v in refused.value.violations] == ["conflict_id"]
    for filters, field in (({"wedding_id": "w"}, "wedding_id"), ({"page_size": -1}, "page_size")):
        with pytest.raises(InvalidRequest) as refused:
            await listed(running, **filters)
        assert [v.field for v in refused.value.violations] == [field]
    with pytest.raises(NotFound):
        await client.get_conflict(new_id())


async def test_each_collision_has_a_span_in_the_trace_of_its_edit(running: Running) -> None:
    """Adjudicating records a span per collision whose parent is the collision's own trace context."""
    await running.client("sync").adjudicate([a_collision(trace_parent=TRACE), a_collision()])
    spans = [s for s in running.spans.get_finished_spans() if s.name == "adjudicate"]
    [span] = spans
    assert span.context.trace_id == int(TRACE[3:35], 16)
    assert span.parent is not None
    assert span.parent.span_id == int(TRACE[36:52], 16)
    assert span.attributes == {"item_kind": "timeline_event", "path": "title"}


async def test_large_batches_fit_in_one_call(running: Running) -> None:
    """Five hundred collisions in one call open five hundred conflicts."""
    wedding = new_id()
    collisions = [
        a_collision(wedding_id=wedding, sequence=i + 1, proposed=a_claim("Opening dance", "grace"))
        for i in range(500)
    ]
    await running.client("sync").adjudicate(collisions)
    assert len(await listed(running, wedding_id=wedding, page_size=200)) == 500


def an_ending(collision: service_pb2.Collision, **but: object) -> service_pb2.Ending:
    """Return the end of a collision, of which only what is said differs."""
    fields: dict[str, object] = {
        "wedding_id": collision.wedding_id,
        "sequence": collision.sequence,
        "item_id": collision.item_id,
        "item_kind": collision.item_kind,
        "path": collision.path,
        "final": a_claim("Waltz", "ada"),
        "end_sequence": 9,
        "commit_time": timestamp(datetime(2027, 6, 2, tzinfo=UTC)),
        "organization_ids": collision.organization_ids,
    }
    return service_pb2.Ending(**{**fields, **but})  # type: ignore[arg-type]


@pytest.mark.parametrize("first", ["collision", "ending", "both"])
async def test_a_conflict_that_ended_is_not_open(running: Running, first: str) -> None:
    """Whichever is told first, the conflict ends as resolved, with the value and who settled it."""
    sync, collision = running.client("sync"), a_collision()
    ending = an_ending(collision)
    for collisions, endings in {
        "collision": [([collision], []), ([], [ending])],
        "ending": [([], [ending]), ([collision], [])],
        "both": [([collision], [ending])],
    }[first]:
        await sync.adjudicate(collisions, endings)
    await sync.adjudicate([collision], [ending])
    [conflict] = await listed(running, wedding_id=collision.wedding_id)
    assert conflict.state == service_pb2.CONFLICT_STATE_RESOLVED
    assert (conflict.final, conflict.end_time) == (ending.final, ending.commit_time)
    assert await listed(running, wedding_id=collision.wedding_id, state=service_pb2.CONFLICT_STATE_OPEN) == []
    assert await running.client("studio").get_conflict(conflict.conflict_id) == conflict


async def test_a_conflict_may_give_way_to_another(running: Running) -> None:
    """When a later collision takes the field over, the earlier conflict says so."""
    collision = a_collision()
    await running.client("sync").adjudicate([collision], [an_ending(collision, superseded=True)])
    [conflict] = await listed(running, state=service_pb2.CONFLICT_STATE_SUPERSEDED)
    assert conflict.sequence == collision.sequence


async def test_a_side_may_change_its_mind(running: Running) -> None:
    """Claims told at a later sequence replace earlier ones; told late, they replace nothing."""
    sync, collision = running.client("sync"), a_collision(as_of_sequence=7)
    later = a_collision(
        wedding_id=collision.wedding_id,
        item_id=collision.item_id,
        as_of_sequence=8,
        current=a_claim("Waltz", "ada"),
    )
    await sync.adjudicate([later])
    await sync.adjudicate([collision])
    [conflict] = await listed(running, wedding_id=collision.wedding_id)
    assert conflict.current == later.current


async def test_an_ending_that_makes_no_sense_is_refused(running: Running) -> None:
    """An ending without time, members or field is refused by name, and so is an empty call."""
    sync, collision = running.client("sync"), a_collision()
    for ending in (
        an_ending(collision, commit_time=None),
        an_ending(collision, organization_ids=[]),
        an_ending(collision, path="begins"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await sync.adjudicate([], [ending])
        assert all(violation.field.startswith("endings[0]") for violation in refused.value.violations)
    with pytest.raises(InvalidRequest) as refused:
        await sync.adjudicate([])
    assert [violation.field for violation in refused.value.violations] == ["collisions"]
