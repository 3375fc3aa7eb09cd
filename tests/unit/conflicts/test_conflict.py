"""How collisions become conflicts, and where a page of them starts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conflicts.conflict import Claim, Collision, State, opened
from services.conflicts.paging import Place, place_of, token_after
from wedsync.model.changes import Source
from wedsync.model.ids import is_id, new_id
from wedsync.model.items import ItemKind

_CLAIM = Claim(value="First dance", source=Source(organization_id="studio", actor="ada"))
# Fixed, so that every test process names the same tests.
_ID = "01a2096a-aaec-7ac0-a2e0-8108176eb2ac"

A_COLLISION = Collision(
    wedding_id=new_id(),
    sequence=3,
    item_id=new_id(),
    item_kind=ItemKind.TIMELINE_EVENT,
    path="title",
    current=_CLAIM,
    proposed=_CLAIM,
    committed_at=datetime(2027, 6, 1, tzinfo=UTC),
    organization_ids=("studio",),
)


def test_the_same_collision_is_always_the_same_conflict() -> None:
    """A conflict's id depends on wedding, sequence and field, and on nothing else."""
    first, again = opened([A_COLLISION, replace(A_COLLISION, organization_ids=("studio", "florist"))])
    assert first.conflict_id == again.conflict_id
    assert is_id(first.conflict_id)
    assert first.state is State.OPEN


def test_other_places_are_other_conflicts() -> None:
    """Another wedding, sequence or field gives another id."""
    others = [
        A_COLLISION,
        replace(A_COLLISION, wedding_id=new_id()),
        replace(A_COLLISION, sequence=4),
        replace(A_COLLISION, path="notes"),
    ]
    assert len({conflict.conflict_id for conflict in opened(others)}) == len(others)


@given(st.timedeltas(timedelta(0), timedelta(days=80_000)))
def test_a_token_names_the_exact_microsecond(since_1970: timedelta) -> None:
    """A page's token leads back to the conflict it was made of, to the microsecond."""
    committed_at = datetime(1970, 1, 1, tzinfo=UTC) + since_1970
    [conflict] = opened([replace(A_COLLISION, committed_at=committed_at)])
    assert place_of(token_after(conflict)) == Place(committed_at, conflict.conflict_id)


@pytest.mark.parametrize(
    "token",
    [
        "1",
        ".",
        f"-1.{_ID}",
        f"1.{_ID.upper()}",
        f"1.{'x' * 36}",
        f"{'9' * 18}.{_ID}",
        "²." + _ID,
    ],
)
def test_a_token_of_somebody_elses_is_refused(token: str) -> None:
    """What no page ended with is not understood."""
    with pytest.raises(ValueError, match=re.escape(token)):
        place_of(token)


def test_a_token_never_reaches_beyond_the_calendar() -> None:
    """The largest number a token may hold is still a moment."""
    place = place_of(f"{'9' * 17}.{new_id()}")
    assert place.committed_at - datetime(1970, 1, 1, tzinfo=UTC) > timedelta(days=365)
