"""What every service checks of a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wedsync.errors import InvalidRequest
from wedsync.model.ids import new_id
from wedsync.runtime.requests import Checks, page_size, page_token, place_of, require_id


def _refused(work: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        work()
    return [violation.field for violation in caught.value.violations]


def test_pages_have_bounds() -> None:
    """No size means 50, more than 200 means 200, and a negative one is refused."""
    assert [page_size(asked) for asked in (0, 1, 200, 9999)] == [50, 1, 200, 200]
    assert _refused(lambda: page_size(-1)) == ["page_size"]


def test_an_id_must_be_a_uuid_in_lower_case() -> None:
    """An id is returned as it is; anything else is named with its field."""
    wanted = new_id()
    assert require_id("wedding_id", wanted) == wanted
    assert _refused(lambda: require_id("wedding_id", wanted.upper())) == ["wedding_id"]


@pytest.mark.parametrize("token", ["x", "!!", page_token(["a"]), "W10=", "eyJhIjoxfQ=="])
def test_a_foreign_token_is_refused(token: str) -> None:
    """A page token that was never given out, or for another list, is named."""
    assert _refused(lambda: place_of(token, parts=2)) == ["page_token"]


def test_a_token_leads_back_to_its_place() -> None:
    """What a token was made of is read back; no token means the first page."""
    assert place_of(page_token(["a", "b"]), parts=2) == ["a", "b"]
    assert place_of("", parts=2) is None


def test_everything_wrong_is_said_at_once() -> None:
    """All violations of a request travel in one error, in order; without any, nothing is raised."""
    checks = Checks()
    checks.finish()
    checks.require(True, "fine", "never said")
    checks.require(False, "first", "mend it")
    checks.refuse("second", "mend that too")
    assert _refused(checks.finish) == ["first", "second"]
