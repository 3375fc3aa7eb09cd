"""Whether a load's proof sees what is lost and what is doubled, and counts time from the planned moment."""

from __future__ import annotations

from collections import Counter

import pytest

from wedsync.testing.load.figures import Evidence, Outcome, Track, judge, milliseconds
from wedsync.testing.load.plan import Origin, Send, numbered
from wedsync.testing.load.scenarios import next_rate
from wedsync.testing.load.stage import record

START = 1000.0
COPY = ("b", "w1")


def an_origin(number: int = 1, version: int = 4) -> Origin:
    """Return a record whose fifth version is the next."""
    return Origin(
        number=number,
        wedding_id="w1",
        account="a",
        collection="w1",
        record={**record(number), "version": version},
        first_edit=3,
        path="/hooks/a",
        secret="whsec_c2VjcmV0",
        copies=[COPY],
    )


def accepted(webhook_id: str, at: float) -> Outcome:
    """Return the answer that promises a webhook is safe."""
    return Outcome(status=202, at=at, webhook_id=webhook_id, tries=1)


def found(*, inbox: str = "xy", log: list[int], copies: list[int]) -> Evidence:
    """Return evidence of the record: each edit committed 10 s and written 20 s after the start."""
    return Evidence(
        inbox=Counter(inbox),
        log={1: [(START + 10, edit) for edit in log]},
        copies={(1, *COPY): [(START + 20, edit) for edit in copies]},
    )


SENDS = numbered([an_origin()], [(0.0, 0), (1.0, 0)])
ANSWERS = [accepted("x", START + 0.5), accepted("y", START + 1.25)]


def test_edits_of_a_record_are_numbered_in_the_order_of_time() -> None:
    """The later edit has the next number and the next version, in whatever order they are planned."""
    assert numbered([an_origin()], [(2.0, 0), (1.0, 0)]) == [
        Send(after=1.0, origin=0, edit=3, version=5),
        Send(after=2.0, origin=0, edit=4, version=6),
    ]


def test_what_is_everywhere_once_is_neither_lost_nor_doubled() -> None:
    """Each stage's latency counts from the planned moment of sending."""
    verdict = judge([an_origin()], SENDS, ANSWERS, found(log=[3, 4], copies=[3, 4]), start=START)
    assert (verdict.lost, verdict.doubled) == ([], [])
    assert (verdict.accept, verdict.commit, verdict.delivered) == ([0.5, 0.25], [10.0, 9.0], [20.0, 19.0])


def test_a_later_edit_stands_for_the_one_before() -> None:
    """What was superseded before it was written is not lost: its vendor has what is newer."""
    verdict = judge([an_origin()], SENDS, ANSWERS, found(log=[4], copies=[4]), start=START)
    assert verdict.lost == []
    assert len(verdict.delivered) == 2


@pytest.mark.parametrize(
    ("evidence", "missing"),
    [
        (found(inbox="x", log=[3, 4], copies=[3, 4]), 1),
        (found(log=[3], copies=[3, 4]), 1),
        (found(log=[3, 4], copies=[3]), 1),
        (found(log=[], copies=[]), 4),
    ],
)
def test_what_was_accepted_and_is_missing_anywhere_is_lost(evidence: Evidence, missing: int) -> None:
    """The inbox, the log and each vendor are looked at by themselves."""
    assert len(judge([an_origin()], SENDS, ANSWERS, evidence, start=START).lost) == missing


@pytest.mark.parametrize(
    "evidence",
    [
        found(inbox="xyy", log=[3, 4], copies=[3, 4]),
        found(log=[3, 4, 4], copies=[3, 4]),
        found(log=[3, 4], copies=[3, 3, 4]),
    ],
)
def test_what_is_anywhere_twice_is_doubled(evidence: Evidence) -> None:
    """An inbox entry, a commit and a vendor's write of one edit each happen once."""
    assert len(judge([an_origin()], SENDS, ANSWERS, evidence, start=START).doubled) == 1


def test_what_was_not_accepted_is_not_missed() -> None:
    """The vendor knows that it was refused."""
    refused = [Outcome(status=503, at=START, webhook_id="", tries=4)] * 2
    evidence = found(inbox="", log=[], copies=[])
    assert judge([an_origin()], SENDS, refused, evidence, start=START).lost == []


def test_a_vendor_has_an_edit_since_it_first_had_it_or_a_later_one() -> None:
    """An older value that comes late changes nothing."""
    track = Track([(3.0, 7), (1.0, 5), (2.0, 4)])
    assert [track.when(edit) for edit in (4, 5, 6, 7, 8)] == [1.0, 1.0, 3.0, 3.0, None]


def test_percentiles_name_values_that_were_measured() -> None:
    """No value is made up between two."""
    hundred = [number / 1000 for number in range(1, 101)]
    assert milliseconds(hundred) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert milliseconds([]) == {}


@pytest.mark.parametrize(
    ("limit", "tried"),
    [
        (25.0, [10, 15, 22.5, 33.75, 28.125, 25.3125]),
        (100.0, [10, 15, 22.5, 33.75]),
        (4.0, [10, 5, 2.5, 3.75, 4.375]),
        (0.5, [10, 5, 2.5, 1.25]),
    ],
)
def test_the_knee_is_looked_for_between_the_last_good_rate_and_the_first_bad_one(
    limit: float, tried: list[float]
) -> None:
    """The rate grows while it is good, or is halved until it is; then the gap is halved twice."""
    seen: list[tuple[float, bool]] = []
    while (rate := next_rate(seen, first=10)) is not None and len(seen) < len(tried):
        seen.append((rate, rate <= limit))
    assert [rate for rate, _ in seen] == tried
    assert (next_rate(seen, first=10) is None) == (not all(good for _, good in seen))
