"""What a person types becomes a canonical value, or is refused with what it must be."""

import pytest

from wedsync.model.items import LIFE, FieldValue, ItemKind
from wedsync.model.values import BadValue, from_text


@pytest.mark.parametrize(
    ("kind", "path", "text", "value"),
    [
        (ItemKind.TIMELINE_EVENT, "title", "Waltz", "Waltz"),
        (ItemKind.TIMELINE_EVENT, "location", "", None),
        (ItemKind.TIMELINE_EVENT, "all_day", "yes", True),
        (ItemKind.TIMELINE_EVENT, "all_day", "no", False),
        (ItemKind.TIMELINE_EVENT, "tags", "b, a", ("a", "b")),
        (ItemKind.BOOKING, "guest_count", "120", 120),
        (ItemKind.PAYMENT, "amount", "2500 JPY", "2500 JPY"),
    ],
)
def test_typed_text_is_read_by_the_fields_type(
    kind: ItemKind, path: str, text: str, value: FieldValue
) -> None:
    """Text, nothing, flags, numbers, labels and money are each read as what they are."""
    assert from_text(kind, path, text) == value


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        (ItemKind.TIMELINE_EVENT, "all_day", "perhaps"),
        (ItemKind.BOOKING, "guest_count", "many"),
        (ItemKind.PAYMENT, "amount", "25.00 EUR"),
        (ItemKind.PAYMENT, LIFE, "yes"),
    ],
)
def test_text_that_the_field_cannot_hold_is_refused(kind: ItemKind, path: str, text: str) -> None:
    """A wrong kind of value, and the life of an item, are refused."""
    with pytest.raises(BadValue):
        from_text(kind, path, text)
