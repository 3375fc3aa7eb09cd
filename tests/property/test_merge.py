"""Laws that hold for any two edits of any value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wedsync.model.items import FieldType, FieldValue
from wedsync.model.merge import Unmergeable, merged

labels = st.frozensets(st.sampled_from("abcdef")).map(lambda tags: tuple(sorted(tags)) or None)
texts = st.lists(st.sampled_from(["a", "b", "c", "d", ""]), max_size=8).map(lambda t: "\n".join(t) or None)
cases = st.one_of(
    st.tuples(st.just(FieldType.TAGS), labels, labels, labels),
    st.tuples(st.just(FieldType.LINES), texts, texts, texts),
)
Case = tuple[FieldType, FieldValue, FieldValue, FieldValue]


def _holds(tags: FieldValue, label: str) -> bool:
    return isinstance(tags, tuple) and label in tags


def outcome(kind: FieldType, base: FieldValue, one: FieldValue, other: FieldValue) -> object:
    """Return the merged value, or that there is none."""
    try:
        return merged(kind, base, one, other)
    except Unmergeable:
        return Unmergeable


@given(cases)
def test_an_edit_met_by_none_stays_as_it_is(case: Case) -> None:
    """Merging with a side that changed nothing, or that made the same edit, gives the edit."""
    kind, base, one, _ = case
    assert (
        merged(kind, base, one, base) == merged(kind, base, base, one) == merged(kind, base, one, one) == one
    )


@given(cases)
def test_the_order_of_the_sides_makes_no_difference(case: Case) -> None:
    """Whoever came first, the result is the same."""
    kind, base, one, other = case
    assert outcome(kind, base, one, other) == outcome(kind, base, other, one)


@given(cases)
def test_merging_again_changes_nothing(case: Case) -> None:
    """Somebody who takes part late and brings an edit that is in already adds nothing."""
    kind, base, one, other = case
    both = outcome(kind, base, one, other)
    if both is not Unmergeable and kind is FieldType.TAGS:
        assert merged(kind, base, one, both) == both  # type: ignore[arg-type]


@given(labels, labels, labels)
def test_sets_keep_every_addition_and_every_removal(
    base: FieldValue, one: FieldValue, other: FieldValue
) -> None:
    """Where a side moved, its move holds; where none did, the label is as it was."""
    together = merged(FieldType.TAGS, base, one, other)
    for label in "abcdef":
        before = _holds(base, label)
        moved = before != _holds(one, label) or before != _holds(other, label)
        assert _holds(together, label) == (before != moved)


@given(texts, texts, texts)
def test_no_line_comes_from_nowhere(base: FieldValue, one: FieldValue, other: FieldValue) -> None:
    """Each line of a merged text is one of the three texts'."""
    together = outcome(FieldType.LINES, base, one, other)
    if isinstance(together, str):
        known = {line for text in (base, one, other) if isinstance(text, str) for line in text.split("\n")}
        assert set(together.split("\n")) <= known | {""}
