"""What the conflicts service hears of a logged change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.sync.disputes import collided, ended
from services.sync.facts import Destination, facts_of
from services.sync.rpc_peers import collision_messages, ending_messages
from services.sync.wedding import LoggedChange
from tests.unit.sync.builders import PLANNER, a_wedding, create, delete, update, vendor
from wedsync.model.changes import Change
from wedsync.model.items import LIFE

TAVE, CALENDAR = vendor("tave"), vendor("calendar")
MADE = create("Toast", item_id="i")
CLASH = (
    MADE,
    update("i", {"title": "Vows"}, source=CALENDAR, default_base=1),
    update("i", {"title": "Speech"}, source=TAVE, default_base=1),
)


def logged(*changes: Change) -> Sequence[LoggedChange]:
    """Return the log of a wedding with these changes."""
    return a_wedding().plan(changes, {}).logged


def last(*changes: Change) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the last change opened or moved, and what it ended."""
    entry = logged(*changes)[-1]
    return list(collided(entry)), list(ended(entry))


def test_a_collision_is_told_with_both_sides() -> None:
    """Both values, who wants them, and since which sequence."""
    [told], endings = last(*CLASH)
    assert (told["seq"], told["current"], told["proposed"]) == (3, "Vows", "Speech")
    assert (told["current_rev"], told["proposed_rev"], endings) == (2, 3, [])


def test_what_changes_nothing_about_it_is_not_told_again() -> None:
    """An edit of another field leaves the disagreement alone."""
    assert last(*CLASH, update("i", {"location": "Hall"})) == ([], [])


def test_a_side_that_wants_something_else_since_is_told_again() -> None:
    """The same disagreement, with the value that stands there now."""
    moved = update("i", {"title": "Vows!"}, source=CALENDAR, base={"title": 2})
    [told], endings = last(*CLASH, moved)
    assert (told["seq"], told["current"], endings) == (3, "Vows!", [])


def test_a_decision_ends_it() -> None:
    """Whoever names the disagreement ends it, also by keeping the present value."""
    for value in ("Vows", "Speech", "Both"):
        collisions, [ending] = last(*CLASH, update("i", {"title": value}, default_base=3))
        assert (ending["seq"], ending["final"], ending["superseded"], collisions) == (3, value, False, [])
        assert ending["final_by"]["actor"] == PLANNER.actor


def test_a_newer_disagreement_takes_its_place() -> None:
    """A third side that had seen neither opens another one, and the first gives way."""
    third = update("i", {"title": "Third"}, source=vendor("third"), default_base=1)
    [told], [ending] = last(*CLASH, third)
    assert (told["seq"], ending["seq"], ending["superseded"]) == (4, 3, True)


def test_an_edit_that_met_a_delete_says_what_it_wanted() -> None:
    """A delete keeps the edit out; whoever decides for the edit finds its values."""
    edit = update("i", {"title": "Vows"}, source=TAVE, default_base=1)
    [told], _ = last(MADE, delete("i", source=CALENDAR, default_base=1), edit)
    assert (told["path"], told["current"], told["proposed"]) == (LIFE, True, None)
    assert told["values"] == {"title": "Vows"}


def test_the_conflicts_service_gets_it_as_messages() -> None:
    """Collisions carry when they were told, endings which collision they are of."""
    log = logged(*CLASH, update("i", {"title": "Vows"}, default_base=3))
    facts = [f for f in facts_of(a_wedding(), log) if f.destination is Destination.CONFLICTS]
    [collision] = collision_messages(facts[0])
    [ending] = ending_messages(facts[1])
    assert (collision.sequence, collision.as_of_sequence, collision.current.revision) == (3, 3, 2)
    assert (ending.sequence, ending.end_sequence, ending.final.value.text) == (3, 4, "Vows")


def test_facts_that_were_stored_by_an_older_version_are_told_too() -> None:
    """Without the newer entries, a stored collision is one of its own sequence."""
    [fact] = [f for f in facts_of(a_wedding(), logged(*CLASH)) if f.destination is Destination.CONFLICTS]
    body = {name: value for name, value in fact.body.items() if name != "endings"}
    newer = ("seq", "current_rev", "proposed_rev", "values")
    body["fields"] = [{k: v for k, v in field.items() if k not in newer} for field in body["fields"]]
    old = type(fact)(**{**{n: getattr(fact, n) for n in fact.__slots__}, "body": body})
    [collision] = collision_messages(old)
    assert (collision.sequence, list(ending_messages(old))) == (3, [])
