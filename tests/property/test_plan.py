"""Laws of merging: whatever the edits, their order and their repetition."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sync.wedding import KnownChange, LoggedChange, Wedding
from wedsync.model.changes import Change, ChangeKind, Outcome, Source
from wedsync.model.codec import dump_item, load_item
from wedsync.model.items import ItemKind

FIELDS = ("title", "location", "notes")
SOURCES = (
    Source(organization_id="studio", actor="ada"),
    Source(organization_id="studio", actor="tave", link_id="tave", vendor="tave", record_id="1"),
    Source(organization_id="studio", actor="cal", link_id="cal", vendor="cal", record_id="1"),
)


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    """Up to a dozen changes of two items by three parties with any bases, some of them repeated."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(ChangeKind))
        values = draw(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from("abc"), min_size=1))
        found.append(
            Change(
                change_id=f"c{number}",
                item_id=draw(st.sampled_from(("i", "j"))),
                item_kind=ItemKind.TIMELINE_EVENT,
                kind=kind,
                source=draw(st.sampled_from(SOURCES)),
                values=values if kind in {ChangeKind.CREATE, ChangeKind.UPDATE} else {},
                default_base=draw(st.none() | st.integers(0, number)),
            )
        )
    return draw(st.lists(st.sampled_from(found), min_size=len(found), max_size=len(found) * 2))


class History:
    """A wedding fed in batches, as its owner feeds it."""

    def __init__(self) -> None:
        self.wedding = Wedding(wedding_id="w", epoch=1, sequence=0)
        self.known: dict[str, KnownChange] = {}
        self.log: list[LoggedChange] = []
        self.outcomes: list[Outcome] = []

    def feed(self, batch: list[Change]) -> None:
        """Commit a batch."""
        planned = self.wedding.plan(batch, self.known)
        self.wedding = self.wedding.after(planned)
        self.known |= planned.remember
        self.log += planned.logged
        self.outcomes += [result.outcome for result in planned.results]


def fed(batch: list[Change]) -> History:
    """Return the history of one batch."""
    history = History()
    history.feed(batch)
    return history


@given(changes(), st.data())
def test_batches_do_not_matter(batch: list[Change], data: st.DataObject) -> None:
    """However the changes are cut into batches, state, log and results are the same."""
    whole, cut = fed(batch), History()
    rest = batch
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        cut.feed(rest[:size])
        rest = rest[size:]
    assert (cut.wedding, cut.log, cut.outcomes) == (whole.wedding, whole.log, whole.outcomes)


@given(changes())
def test_repeating_changes_nothing(batch: list[Change]) -> None:
    """All of it once more: nothing is logged, nothing changes, but refused changes may be refused again."""
    history = fed(batch)
    wedding, log = history.wedding, list(history.log)
    accepted = [change for change in batch if change.change_id in history.known]
    history.feed(accepted)
    assert (history.wedding, history.log) == (wedding, log)
    assert set(history.outcomes[len(batch) :]) <= {Outcome.DUPLICATE}


@given(changes())
def test_the_log_is_dense_and_every_change_in_it_once(batch: list[Change]) -> None:
    """Sequences rise by one; no change id is logged twice; the state is at the last sequence."""
    history = fed(batch)
    assert [entry.result.sequence for entry in history.log] == list(range(1, history.wedding.sequence + 1))
    ids = [entry.change.change_id for entry in history.log]
    assert len(ids) == len(set(ids))


@given(changes())
def test_the_state_is_what_the_log_says(batch: list[Change]) -> None:
    """Each field has the value and revision of the last change that was applied to it."""
    history = fed(batch)
    told: dict[tuple[str, str], tuple[object, int]] = {}
    for entry in history.log:
        for field in entry.result.fields:
            if field.outcome is Outcome.APPLIED:
                told[entry.item.item_id, field.path] = (field.proposed, entry.result.sequence)
    for item in history.wedding.items.values():
        for path, state in item.fields.items():
            if state.revision:
                assert told[item.item_id, path] == (state.value, state.revision)


@given(changes())
def test_a_losing_value_is_never_lost(batch: list[Change]) -> None:
    """Whatever collided is in the log with both values, and the present value did not move."""
    before: dict[tuple[str, str], object] = {}
    for entry in fed(batch).log:
        for field in entry.result.fields:
            key = (entry.item.item_id, field.path)
            if field.outcome is Outcome.CONFLICTED:
                assert field.previous != field.proposed
                if field.path in entry.item.fields:
                    assert entry.item.value(field.path) == before.get(key, field.previous)
            elif field.outcome is Outcome.APPLIED:
                before[key] = field.proposed


@given(
    st.permutations(range(3)),
    st.lists(st.sampled_from("abc"), min_size=3, max_size=3),
    st.lists(st.sampled_from(SOURCES), min_size=3, max_size=3),
)
def test_edits_of_different_fields_commute(
    order: list[int], values: list[str], sources: list[Source]
) -> None:
    """Edits of different fields on the same base never collide and give the same values in any order."""
    made = Change(
        change_id="made",
        item_id="i",
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.CREATE,
        source=SOURCES[0],
        values=dict.fromkeys(FIELDS, "-"),
    )
    edits = [
        Change(
            change_id=f"c{index}",
            item_id="i",
            item_kind=ItemKind.TIMELINE_EVENT,
            kind=ChangeKind.UPDATE,
            source=sources[index],
            values={FIELDS[index]: values[index]},
            default_base=1,
        )
        for index in order
    ]
    history = fed([made, *edits])
    assert set(history.outcomes) == {Outcome.APPLIED}
    item = history.wedding.items["i"]
    assert [item.value(path) for path in FIELDS] == values


@given(changes())
def test_an_insisting_person_always_ends_a_collision(batch: list[Change]) -> None:
    """One change without a base leaves no field it names in dispute."""
    history = fed(batch)
    for item in list(history.wedding.items.values()):
        if item.deleted:
            continue
        history.feed(
            [
                Change(
                    change_id=f"decision-{item.item_id}",
                    item_id=item.item_id,
                    item_kind=item.kind,
                    kind=ChangeKind.UPDATE,
                    source=SOURCES[0],
                    values=dict.fromkeys(FIELDS, "decided"),
                )
            ]
        )
        decided = history.wedding.items[item.item_id]
        assert all(decided.fields[path].collision is None for path in FIELDS)
        assert {decided.value(path) for path in FIELDS} == {"decided"}


@settings(max_examples=50)
@given(changes())
def test_items_survive_being_stored(batch: list[Change]) -> None:
    """Every item comes back from its stored form as it was."""
    for item in fed(batch).wedding.items.values():
        assert load_item(dump_item(item)) == item
