"""The way of a change through the service: its trace, and what follows its commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.sync.batch import Answer, Batch, dump_answer, dump_batch, load_answer, load_batch
from services.sync.edits import AfterCommit, Edits
from services.sync.facts import Destination, Fact
from services.sync.mailbox import Applied
from services.sync.outbox import Courier, Outbox
from services.sync.pause import pausing
from services.sync.rpc_peers import collision_messages, commit_message, to_conflicts, to_gateway
from tests.unit.sync.builders import PLANNER, create, update, vendor
from tests.unit.sync.test_outbox import Peer, Table
from tests.unit.sync.test_owner import World
from wedsync.clock import FakeClock
from wedsync.errors import Overloaded, WeddingPaused
from wedsync.model.changes import Change, Outcome
from wedsync.model.ids import new_id
from wedsync.runtime.telemetry import Telemetry


class OneOwner:
    """Applies through the bytes that cross processes."""

    def __init__(self) -> None:
        self.world = World()
        self.owner = self.world.owner()
        self.answer: Answer | None = None

    async def apply(
        self, wedding_id: str, changes: Sequence[Change], *, seconds: float = 1.0, live_seconds: float = 0.0
    ) -> Applied:
        """Apply."""
        sent = load_batch(dump_batch(Batch(work={wedding_id: changes}, release=["r"])))
        self.answer = load_answer(dump_answer(self.owner.apply(sent)))
        return Applied(
            results=self.answer.done[wedding_id].results,
            queued=time.time_ns(),
            sent=time.time_ns(),
            stages=self.answer.stages,
            pid=self.answer.pid,
        )


class Watched:
    """Hears which weddings' logs grew."""

    def __init__(self) -> None:
        self.weddings: list[str] = []

    def committed(self, wedding_id: str) -> None:
        """Remember."""
        self.weddings.append(wedding_id)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Where spans end up."""
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Telemetry:
    """Telemetry that samples everything."""
    return Telemetry(processor=SimpleSpanProcessor(spans), ratio=1.0)


def by_name(spans: Sequence[ReadableSpan], trace: str) -> dict[str, ReadableSpan]:
    """Return one trace's spans by name."""
    return {span.name: span for span in spans if f"{span.context.trace_id:032x}" == trace.split("-")[1]}


async def test_every_change_has_a_trace_of_its_own(spans: InMemorySpanExporter, telemetry: Telemetry) -> None:
    """Of two changes in one batch each has apply, actor and commit in its own trace, parent under parent."""
    owner = OneOwner()
    edits = Edits(owners=owner, telemetry=telemetry)
    traces = [telemetry.new_traceparent() for _ in range(2)]
    wedding_id = owner.world.wedding()
    await edits.apply(wedding_id, [create(trace_parent=trace) for trace in traces])
    for trace, fact in zip(traces, owner.world.store.facts(wedding_id), strict=True):
        found = by_name(spans.get_finished_spans(), trace)
        assert set(found) == {"apply", "actor", "commit"}
        assert f"{found['apply'].parent.span_id:016x}" == trace.split("-")[2]  # type: ignore[union-attr]
        assert found["actor"].parent.span_id == found["apply"].context.span_id  # type: ignore[union-attr]
        assert found["commit"].parent.span_id == found["actor"].context.span_id  # type: ignore[union-attr]
        assert f"{found['commit'].context.span_id:016x}" == fact.trace_parent.split("-")[2]
        assert found["actor"].attributes == {"process.pid": owner.answer.pid}  # type: ignore[union-attr]


async def test_what_is_not_committed_has_no_commit_span(
    spans: InMemorySpanExporter, telemetry: Telemetry
) -> None:
    """A duplicate has spans of its own try, and none for the commit that was another's."""
    owner = OneOwner()
    edits = Edits(owners=owner, telemetry=telemetry)
    wedding_id, made = owner.world.wedding(), create()
    await edits.apply(wedding_id, [made])
    spans.clear()
    (result,) = await edits.apply(wedding_id, [made])
    assert result.outcome is Outcome.DUPLICATE
    assert {span.name for span in spans.get_finished_spans()} == {"apply", "actor"}


async def test_a_commit_is_told_and_shown() -> None:
    """After an answer its facts go out, and whoever watches the wedding is shown what is new."""
    owner, clock, peer, shown = OneOwner(), FakeClock(), Peer(), Watched()
    courier = Courier(
        Destination.GATEWAY, store=Table(clock), deliver=peer, telemetry=Telemetry(), clock=clock
    )
    outbox = Outbox({Destination.GATEWAY: courier})
    outbox.start()
    wedding_id = owner.world.wedding()
    await owner.apply(wedding_id, [create()])
    assert owner.answer is not None
    AfterCommit(outbox=outbox, live=shown)(owner.answer)
    for _ in range(5):
        await asyncio.sleep(0)
    assert shown.weddings == [wedding_id]
    assert [fact.sequence for fact in peer.heard] == [1]
    await outbox.stop()


async def test_a_paused_wedding_is_said(telemetry: Telemetry) -> None:
    """Changes of a paused wedding are refused as a whole, with the reason and when to try again."""
    owner = OneOwner()
    edits = Edits(owners=owner, telemetry=telemetry)
    wedding_id = owner.world.wedding()
    await edits.apply(wedding_id, [pausing(wedding_id, new_id(), "Rain", PLANNER, "")])
    with pytest.raises(WeddingPaused, match="Rain") as refused:
        await edits.apply(wedding_id, [create()])
    assert refused.value.retry_after
    assert len(owner.world.store.log(wedding_id)) == 1


async def test_a_pause_is_shown_and_a_duplicate_is_not() -> None:
    """Whatever made the log grow is shown at once, also where no other service is told of it."""
    owner, shown = OneOwner(), Watched()
    wedding_id = owner.world.wedding()
    pause = pausing(wedding_id, new_id(), "Rain", PLANNER, "")
    for _ in range(2):
        await owner.apply(wedding_id, [pause])
        assert owner.answer is not None
        AfterCommit(outbox=Outbox({}), live=shown)(owner.answer)
    assert shown.weddings == [wedding_id]


async def test_facts_become_messages_with_everything_in_them() -> None:
    """The gateway gets the whole item, the conflicts service one collision a field, both the trace."""
    owner = OneOwner()
    wedding_id, made = owner.world.wedding(), create("One")
    late = update(made.item_id, {"title": "Two"}, source=vendor(), default_base=0, trace_parent="00-x")
    await owner.apply(wedding_id, [made, late])
    facts = owner.world.store.facts(wedding_id)
    commit = commit_message(facts[1])
    assert (commit.sequence, commit.change_id, commit.trace_parent) == (2, late.change_id, "00-x")
    assert commit.item.content.timeline_event.title == "One"
    assert [list(state.held_link_ids) for state in commit.item.field_states] == [["link-1"]]
    (collision,) = collision_messages(facts[2])
    assert (collision.path, collision.current.value.text, collision.proposed.value.text) == (
        "title",
        "One",
        "Two",
    )
    assert (collision.current.source.actor, collision.proposed.source.vendor) == ("ada", "link-1")
    assert list(collision.organization_ids) == ["studio"]
    assert collision.commit_time == commit.commit_time
    assert collision.trace_parent == "00-x"


async def test_an_error_crosses_processes_as_itself() -> None:
    """What stopped a wedding's part arrives with reason, message and retry time."""
    owner = OneOwner()
    wedding_id = owner.world.wedding()
    rival = owner.world.owner()
    rival.apply(Batch(work={wedding_id: [create()]}))
    await owner.apply(wedding_id, [create()])
    assert owner.answer is not None
    error = owner.answer.done[wedding_id].error
    assert (error.reason, error.retry_after) == ("NOT_OWNER", 5.0)  # type: ignore[union-attr]
    assert not isinstance(error, Overloaded)


class HearsAll:
    """Both clients at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def accept_commits(self, commits: Sequence[object], **_: object) -> None:
        """Hear commits."""
        self.sizes.append(len(commits))

    async def adjudicate(self, collisions: Sequence[object], endings: Sequence[object], **_: object) -> None:
        """Hear collisions and endings."""
        self.sizes.append(len(collisions) + len(endings))


async def test_a_call_to_a_peer_is_bounded() -> None:
    """Commits go in one call; collisions, which may be many in one fact, in calls of at most 500."""
    owner, client = OneOwner(), HearsAll()
    wedding_id, made = owner.world.wedding(), create("One")
    late = update(made.item_id, {"title": "Two"}, source=vendor(), default_base=0)
    await owner.apply(wedding_id, [made, late])
    commits: list[Fact] = []
    collisions: list[Fact] = []
    for fact in owner.world.store.facts(wedding_id):
        (collisions if fact.destination is Destination.CONFLICTS else commits).append(fact)
    await to_gateway(client)(commits)  # type: ignore[arg-type]
    await to_conflicts(client)(collisions * 501)  # type: ignore[arg-type]
    assert client.sizes == [2, 500, 1]
