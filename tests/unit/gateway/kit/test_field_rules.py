"""What a vendor can hold of a value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule
from wedsync.model.items import FieldValue


def _rule(equivalence: str, max_length: int | None = None) -> FieldRule:
    return FieldRule(direction=Direction.BOTH, equivalence=Equivalence(equivalence), max_length=max_length)


@pytest.mark.parametrize(
    ("equivalence", "max_length", "value", "held"),
    [
        ("exact", None, " a ", " a "),
        ("exact", 2, "abc", "ab"),
        ("exact", None, None, None),
        ("exact", None, 5, 5),
        ("minute", None, "2027-06-12T15:00:30[America/New_York]", "2027-06-12T15:00:00[America/New_York]"),
        ("minute", None, "2027-06-12", "2027-06-12"),
        ("trimmed", None, "  a\r\nb\x07\u2028c ", "a\nb\nc"),
        ("trimmed", None, " \n ", None),
        ("trimmed", 3, "ab cd", "ab"),
        ("trimmed", None, ("b ", " a", "", "a"), ("a", "b")),
        ("trimmed", None, (" ",), None),
        ("single_line", None, "a  \n\n b", "a b"),
        ("single_line", None, "", None),
        ("flag", None, None, False),
        ("flag", None, True, True),
        ("flag", None, "x", "x"),
    ],
)
def test_a_value_is_held_in_its_equivalences_normal_form(
    equivalence: str, max_length: int | None, value: FieldValue, held: FieldValue
) -> None:
    """Each equivalence has one normal form, and the value is equivalent to it."""
    rule = _rule(equivalence, max_length)
    assert rule.holds(value) == held
    assert rule.equivalent(value, held)


def test_what_the_vendor_can_show_apart_is_not_equivalent() -> None:
    """A minute more is a difference even where seconds are none."""
    assert not _rule("minute").equivalent("2027-06-12T15:00:00[UTC]", "2027-06-12T15:01:00[UTC]")


@settings(deadline=None)
@given(
    equivalence=st.sampled_from(Equivalence),
    max_length=st.none() | st.integers(1, 6),
    value=st.none() | st.booleans() | st.text() | st.lists(st.text(max_size=5)).map(tuple),
)
def test_holding_twice_changes_nothing(
    equivalence: Equivalence, max_length: int | None, value: FieldValue
) -> None:
    """The normal form of a normal form is itself, so a vendor's own value is never an edit."""
    held = _rule(equivalence, max_length).holds(value)
    assert _rule(equivalence, max_length).holds(held) == held
