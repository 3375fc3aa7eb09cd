"""What one change means for one item."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.sync.plan import ITEM_DELETED, KIND_DIFFERS, UNKNOWN_ITEM, Plan, plan
from tests.unit.sync.builders import PLANNER, create, delete, restore, update, vendor
from wedsync.model.changes import Change, ItemState, Outcome
from wedsync.model.items import LIFE, ItemKind

TAVE, CALENDAR = vendor("tave"), vendor("calendar")


def after(*changes: Change) -> ItemState:
    """Return the item the changes leave, one sequence each."""
    item = None
    for sequence, change in enumerate(changes, start=1):
        item = plan(item, change, sequence).item or item
    assert item is not None
    return item


@pytest.fixture
def item() -> ItemState:
    """An event the planner made at sequence 1 and the calendar moved at 2."""
    made = create("Ceremony", item_id="i")
    return after(made, update("i", {"location": "Church"}, source=CALENDAR, default_base=1))


def outcome_of(planned: Plan, path: str) -> Outcome:
    """Return what became of one field."""
    return next(field.outcome for field in planned.fields if field.path == path)


def test_a_create_sets_its_fields_at_its_sequence() -> None:
    """A new item has each set field, and its life, at the change's sequence; empty ones are left out."""
    made = plan(None, create("x", values={"title": "x", "notes": None}), 7).item
    assert made is not None
    assert {path: state.revision for path, state in made.fields.items()} == {"title": 7}
    assert (made.life.revision, made.deleted) == (7, False)


def test_changes_of_what_is_not_there_are_refused() -> None:
    """An update, delete or restore of an unknown item, and of another kind of item, is rejected."""
    for change in (update("i", {"title": "x"}), delete("i"), restore("i")):
        assert plan(None, change, 1) == Plan(outcome=Outcome.REJECTED, reason=UNKNOWN_ITEM)
    made = after(create(item_id="i"))
    other = update("i", {"title": "x"}, item_kind=ItemKind.TASK)
    assert plan(made, other, 2).reason == KIND_DIFFERS


def test_equal_values_change_nothing(item: ItemState) -> None:
    """A value that is there already is not logged, whatever its base."""
    planned = plan(item, update("i", {"location": "Church"}, default_base=0), 3)
    assert (planned.outcome, planned.item) == (Outcome.UNCHANGED, None)


def test_a_field_collides_only_with_what_its_author_had_not_seen(item: ItemState) -> None:
    """With the base before the field's revision it collides, with a base at it, or none, it does not."""
    for base, outcome in ((1, Outcome.CONFLICTED), (2, Outcome.APPLIED), (None, Outcome.APPLIED)):
        edit = update("i", {"location": "Garden"}, default_base=base)
        assert plan(item, edit, 3).outcome is outcome
    own_base = update("i", {"location": "Garden"}, default_base=0, base={"location": 2})
    assert plan(item, own_base, 3).outcome is Outcome.APPLIED


def test_on_a_collision_the_rest_goes_through(item: ItemState) -> None:
    """The present value stays and is held for both vendors; other fields of the change are applied."""
    edit = update("i", {"location": "Garden", "notes": "n"}, source=TAVE, default_base=1)
    planned = plan(item, edit, 3)
    assert planned.outcome is Outcome.CONFLICTED
    assert planned.item is not None
    assert (planned.item.value("location"), planned.item.value("notes")) == ("Church", "n")
    collision = planned.item.fields["location"].collision
    assert collision is not None
    assert collision.held_links == {"tave", "calendar"}
    assert (collision.proposed, collision.sequence) == ("Garden", 3)


def test_a_vendor_record_does_not_collide_with_itself(item: ItemState) -> None:
    """The next observation of the record a value came from replaces it."""
    assert plan(item, update("i", {"location": "Hall"}, source=CALENDAR, default_base=1), 3).item == replace(
        item, fields={**item.fields, "location": replace(item.fields["location"], value="Hall", revision=3)}
    )


def collided(item: ItemState) -> ItemState:
    """Return the item after Tave disagreed about the location at sequence 3."""
    planned = plan(item, update("i", {"location": "Garden"}, source=TAVE, default_base=1), 3)
    assert planned.item is not None
    return planned.item


def test_who_has_seen_both_sides_decides(item: ItemState) -> None:
    """A base at the collision, or insisting, ends it, for either value; an older base collides again."""
    open_one = collided(item)
    for value in ("Garden", "Church", "Hall"):
        for base in (3, None):
            decided = plan(open_one, update("i", {"location": value}, default_base=base), 4).item
            assert decided is not None
            assert decided.fields["location"].collision is None
            assert (decided.value("location"), decided.fields["location"].revision) == (value, 4)
    again = plan(open_one, update("i", {"location": "Hall"}, default_base=1), 4)
    assert again.outcome is Outcome.CONFLICTED
    assert again.item is not None
    third = again.item.fields["location"].collision
    assert third is not None
    assert third.held_links == {"tave", "calendar"}


def test_a_vendor_ends_a_collision_only_by_giving_in(item: ItemState) -> None:
    """The record that proposed the loser may take it back; an equal value from others ends nothing."""
    open_one = collided(item)
    gives_in = plan(open_one, update("i", {"location": "Church"}, source=TAVE, default_base=1), 4)
    assert gives_in.item is not None
    assert gives_in.item.fields["location"].collision is None
    same = plan(open_one, update("i", {"location": "Church"}, source=CALENDAR, default_base=9), 4)
    assert (same.outcome, same.item) == (Outcome.UNCHANGED, None)


def test_a_repeated_disagreement_is_not_logged_again(item: ItemState) -> None:
    """The same record proposing the same value once more is told so, and takes no sequence."""
    repeated = plan(collided(item), update("i", {"location": "Garden"}, source=TAVE, default_base=1), 4)
    assert (repeated.outcome, repeated.item) == (Outcome.CONFLICTED, None)


def test_the_winner_may_go_on_editing_during_a_collision(item: ItemState) -> None:
    """The record whose value stands changes it without a decision; the disagreement stays open."""
    edit = update("i", {"location": "Hall"}, source=CALENDAR, default_base=1)
    going_on = plan(collided(item), edit, 4).item
    assert going_on is not None
    assert going_on.value("location") == "Hall"
    collision = going_on.fields["location"].collision
    assert collision is not None
    assert collision.current_by == CALENDAR
    loser = update("i", {"location": "Barn"}, source=TAVE, default_base=9)
    pushed = plan(going_on, loser, 5).item
    assert pushed is not None
    assert pushed.value("location") == "Barn"


def test_a_delete_collides_with_newer_edits(item: ItemState) -> None:
    """A delete by somebody who had not seen the last edit is asked about; by others it is done."""
    late = plan(item, delete("i", source=TAVE, default_base=1), 3)
    assert late.outcome is Outcome.CONFLICTED
    assert "location" in late.fields[0].reason
    assert late.item is not None
    assert not late.item.deleted
    for base in (2, None):
        done = plan(item, delete("i", default_base=base), 3).item
        assert done is not None
        assert done.deleted
        assert done.life.revision == 3
        assert done.value("title") == "Ceremony"


def test_an_edit_collides_with_a_newer_delete(item: ItemState) -> None:
    """An edit by somebody who had not seen the delete is kept as a collision; by others it is refused."""
    gone = plan(item, delete("i"), 3).item
    assert gone is not None
    late = plan(gone, update("i", {"title": "x"}, source=TAVE, default_base=2), 4)
    assert late.outcome is Outcome.CONFLICTED
    assert outcome_of(late, "title") is Outcome.CONFLICTED
    assert late.item is not None
    assert late.item.deleted
    knowing = plan(gone, update("i", {"title": "x"}, default_base=3), 4)
    assert (knowing.outcome, knowing.reason) == (Outcome.REJECTED, ITEM_DELETED)


def test_restoring_brings_everything_back(item: ItemState) -> None:
    """A restored item has the fields it had; restoring what lives and deleting what is gone do nothing."""
    gone = plan(item, delete("i"), 3).item
    assert gone is not None
    back = plan(gone, restore("i", default_base=3), 4).item
    assert back is not None
    assert (back.deleted, back.fields) == (False, item.fields)
    assert plan(back, restore("i"), 5).outcome is Outcome.UNCHANGED
    assert plan(gone, delete("i"), 5).outcome is Outcome.UNCHANGED
    assert plan(gone, restore("i", default_base=2), 5).outcome is Outcome.CONFLICTED
    stale = plan(back, delete("i", default_base=3), 5)
    assert (stale.outcome, stale.fields[0].reason) == (Outcome.CONFLICTED, "restored since")


def test_a_create_of_what_was_deleted_revives_it(item: ItemState) -> None:
    """Who has seen the delete and creates the item again gets it back; who had not collides."""
    gone = plan(item, delete("i"), 3).item
    assert gone is not None
    revived = plan(gone, create("New", item_id="i", default_base=3), 4)
    assert revived.outcome is Outcome.APPLIED
    assert revived.item is not None
    assert (revived.item.deleted, revived.item.value("title")) == (False, "New")
    assert plan(gone, create("New", item_id="i", source=TAVE), 4).outcome is Outcome.CONFLICTED


def test_life_and_death_can_be_decided_either_way(item: ItemState) -> None:
    """An open question whether an item lives is ended by saying what is so already, by who has seen both."""
    asked = plan(item, delete("i", source=TAVE, default_base=1), 3).item
    assert asked is not None
    assert asked.life.collision is not None
    assert plan(asked, delete("i", source=TAVE, default_base=1), 4).item is None
    lives = plan(asked, restore("i", default_base=3), 4)
    assert lives.item is not None
    assert (lives.item.deleted, lives.item.life.collision, lives.item.life.revision) == (False, None, 4)
    dies = plan(asked, delete("i", default_base=3), 4).item
    assert dies is not None
    assert (dies.deleted, dies.life.collision) == (True, None)

    gone = plan(item, delete("i"), 3).item
    edited = plan(gone, update("i", {"title": "x"}, source=TAVE, default_base=2), 4).item
    assert edited is not None
    stays = plan(edited, delete("i", default_base=4), 5).item
    assert stays is not None
    assert (stays.deleted, stays.life.collision) == (True, None)
    gives_in = plan(edited, delete("i", source=TAVE, default_base=2), 5).item
    assert gives_in is not None
    assert gives_in.life.collision is None


def test_a_change_is_called_by_its_strongest_outcome(item: ItemState) -> None:
    """One applied and one unchanged field make an applied change; no field makes an unchanged one."""
    assert plan(item, update("i", {"title": "Ceremony", "notes": "n"}), 3).outcome is Outcome.APPLIED
    assert plan(item, update("i", {}), 3).outcome is Outcome.UNCHANGED
    assert PLANNER.same_record(PLANNER) is False
    assert LIFE not in item.fields
