"""The vendors that stand behind a load."""

from __future__ import annotations

import time

import orjson
import pytest
from standardwebhooks import Webhook

from tests.unit.testing.test_load_verdict import an_origin
from wedsync.testing.load.marks import read, title
from wedsync.testing.load.plan import WEBHOOK_BYTES, numbered, requests
from wedsync.testing.load.stage import record
from wedsync.testing.load.vendor import Archive, Collection, Edit, Refused, Vendors

PLACE = ("a", "w1")


def vendors(now: float = 0.0) -> Vendors:
    """Return one account with one record."""
    return Vendors(now=lambda: now, collections={PLACE: Collection([record(1)])}, tokens={"a": "t"})


def test_a_webhook_is_signed_as_the_standard_says() -> None:
    """An independent implementation believes it, and the body has the size of a real one."""
    origin = an_origin()
    [request] = requests(
        [origin], numbered([origin], [(0.0, 0)]), host="h", started=int(time.time()), run="r"
    )
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    Webhook(origin.secret).verify(body, headers)
    assert len(body) == WEBHOOK_BYTES
    assert orjson.loads(body)["record"]["version"] == 5


def test_a_write_on_what_has_moved_is_refused() -> None:
    """A write names the version it is built on, a create that there is none; each accepted one is noted."""
    site = vendors(5.0)
    sent = {"kind": "timeline_event", "fields": {"title": title(1, 9)}}
    for version in ("2", None):
        with pytest.raises(Refused) as refused:
            site.write(PLACE, "toast-1", sent, version)
        assert refused.value.status == 412
    assert site.write(PLACE, "toast-1", sent, "1")["version"] == 2
    assert site.write(PLACE, "new", sent, None)["version"] == 1
    assert site.arrivals == [(5.0, *PLACE, "toast-1", 1, 9), (5.0, *PLACE, "new", 1, 9)]


def test_a_planned_edit_is_seen_once_it_is_due() -> None:
    """Whoever looks sees the records as people have left them by then."""
    moment = [0.0]
    site = Vendors(now=lambda: moment[0], collections={PLACE: Collection([record(1)])})
    site.plan([Edit(2.0, *PLACE, "toast-1", title(1, 1)), Edit(1.0, *PLACE, "toast-1", title(1, 0))])
    seen = []
    for moment[0] in (0.5, 1.5, 2.5):
        _, _, _, version, shown = site.state()[0]
        seen.append((version, read(shown)))
    assert seen == [(1, (1, 0)), (2, (1, 0)), (3, (1, 1))]


def test_a_list_tells_each_record_once_since_the_cursor() -> None:
    """Pages follow the order of the last change."""
    collection = Collection([record(1), record(2), record(3)])
    collection.keep({**record(1), "version": 2})
    first, cursor, more = collection.after(0, 2)
    rest, end, _ = collection.after(cursor, 2)
    assert ([r["id"] for r in first], more) == (["toast-2", "toast-3"], True)
    assert [r["id"] for r in rest] == ["toast-1"]
    assert collection.after(end, 2) == ([], end, False)


def test_an_archive_has_its_records_without_keeping_them() -> None:
    """Each is on one page and can be read and written by its id."""
    archive = Archive(record(0), 5)
    first, cursor, more = archive.after(0, 3)
    rest, _, end = archive.after(cursor, 3)
    assert [r["id"] for r in (*first, *rest)] == [f"old-{number}" for number in range(5)]
    assert (more, end) == (True, False)
    archive.keep({**first[0], "version": 2})
    assert [(archive.get(i) or {}).get("version") for i in ("old-0", "old-4", "old-5", "x")] == [
        2,
        1,
        None,
        None,
    ]
