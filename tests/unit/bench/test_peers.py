"""The pure parts of what compares WedSync with its peers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from standardwebhooks.webhooks import Webhook

from tests.bench.peers.costs import microseconds_each
from tests.bench.peers.ingress import Gathered
from tests.bench.peers.plot import Point, curves, draw
from tests.bench.peers.ratios import ratios
from tests.bench.peers.settings import Settings
from tests.bench.peers.vendor import condition
from tests.bench.peers.work import Edit, believed, read
from wedsync.testing.load.plan import Origin, Send, numbered, requests
from wedsync.testing.load.stage import record

KEY = b"0123456789abcdef01234567"
BODY = b'{"type":"record.updated"}'
NOW = 1_800_000_000


def signed(body: bytes = BODY, at: int = NOW) -> dict[str, str]:
    """Return the headers of a webhook, signed by the vendors' own library."""
    signature = Webhook(base64.b64encode(KEY).decode()).sign(
        "msg_1", datetime.fromtimestamp(at, UTC), body.decode()
    )
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_webhook_is_believed_that_standard_webhooks_signed() -> None:
    """A peer's door believes what the scheme's own library has signed."""
    assert believed(KEY, signed(), BODY, NOW + 1.5)


@pytest.mark.parametrize(
    ("body", "headers", "now"),
    [
        (b"{}", signed(), NOW),
        (BODY, signed() | {"webhook-id": "msg_2"}, NOW),
        (BODY, signed() | {"webhook-timestamp": str(NOW + 1)}, NOW),
        (BODY, signed(), NOW + 301),
        (BODY, {}, NOW),
    ],
    ids=["another body", "another id", "another time", "too late", "unsigned"],
)
def test_a_webhook_is_not_believed_otherwise(body: bytes, headers: dict[str, str], now: float) -> None:
    """Anything else than what was signed, or too old, is refused."""
    assert not believed(KEY, headers, body, now)


def test_a_generated_webhook_is_read() -> None:
    """What the generator sends is an edit of the record and wedding it plans."""
    request = next(requests([_origin()], _sends(1), host="here", started=NOW, run="r"))
    body = request.partition(b"\r\n\r\n")[2]
    edit = read("msg_1", body)
    assert (edit.wedding_id, edit.record_id, edit.version) == ("wedding-1", "toast-7", 2)
    assert edit.fields["title"] == "Toast 7, edit 1"


def test_a_write_is_conditional_on_those_before() -> None:
    """The first write creates; the n-th replaces the version that the one before has made."""
    assert condition(1) == {"If-None-Match": "*"}
    assert condition(3) == {"If-Match": '"2"'}


def test_settings_survive_the_way_to_another_process() -> None:
    """A process reads from its environment what was put there."""
    settings = Settings(
        database_url="postgresql://here/peer",
        redis_url="redis://here/0",
        vendor_url="http://here/account",
        vendor_token="token",
        port=1234,
        secret=KEY,
    )
    assert Settings.from_env(settings.environment()) == settings


async def test_what_comes_together_is_kept_together() -> None:
    """While one transaction is under way the next webhooks wait, and then share one."""
    kept: list[int] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def keep(edits: Sequence[Edit]) -> None:
        kept.append(len(edits))
        begun.set()
        await go_on.wait()

    gathered = Gathered(keep, at_once=1)
    first = asyncio.create_task(gathered.take(_edit(0)))
    await begun.wait()
    others = [asyncio.create_task(gathered.take(_edit(number))) for number in range(1, 6)]
    await asyncio.sleep(0)
    assert not first.done()
    go_on.set()
    await asyncio.gather(first, *others)
    assert kept == [1, 5]


async def test_nobody_is_told_that_a_webhook_is_safe_that_is_not() -> None:
    """Where a transaction fails, everyone who waits for it learns so, and the next one is tried."""
    outcomes = iter([RuntimeError("the disk is full"), None])

    async def keep(_: Sequence[Edit]) -> None:
        if error := next(outcomes):
            raise error

    gathered = Gathered(keep, at_once=1)
    with pytest.raises(RuntimeError, match="disk"):
        await gathered.take(_edit(0))
    await gathered.take(_edit(1))


def test_load_and_vendor_are_no_part_of_a_systems_cost() -> None:
    """`system` leaves out who sends and who is told; `all` counts them."""
    before = {"workers": 1.0, "postgres": 2.0, "sink": 0.0, "generator": 0.5}
    after = {"workers": 1.2, "postgres": 2.1, "sink": 0.1, "generator": 0.6}
    assert microseconds_each(before, after, 100) == {
        "all": 5000,
        "system": 3000,
        "workers": 2000,
        "postgres": 1000,
        "sink": 1000,
        "generator": 1000,
    }


def test_wedsync_is_compared_by_the_best_rate_it_held() -> None:
    """A rate of WedSync's counts if p99 stays within the limit and nothing is lost; of others the best."""
    results = _results(
        _row(None, 800, p99=60),
        _row(None, 2000, p99=190),
        _row(None, 2600, p99=201),
        _row(None, 2500, p99=100, lost=1),
        _row(None, 2400, p99=100, fan_out=7),
        _row("celery", 300, p99=50),
        _row("celery", 400, p99=9000),
    )
    parts = [
        {"system": "Ray call", "together": 1, "per_second": 1000},
        {"system": "Ray call", "together": 25, "per_second": 8000},
    ]
    results["scenarios"]["ceilings"] = parts
    assert ratios(results) == {"times_a_peer": {"celery": 5.0}, "share_of_a_part": {"Ray call": 0.25}}


def test_nothing_is_compared_that_was_not_measured() -> None:
    """Without a rate of WedSync's there is no ratio, nor with what did not run."""
    assert ratios(_results(_row("celery", 300, p99=50))) == {}
    assert ratios(_results(_row(None, 300, p99=50))) == {"times_a_peer": {}, "share_of_a_part": {}}


def test_curves_are_of_one_webhook_to_one_vendor_by_rising_rate() -> None:
    """The picture compares like with like, WedSync first."""
    results = _results(
        _row("dbos", 50, p99=70),
        _row(None, 800, p99=60),
        _row(None, 100, p99=20),
        _row(None, 90, p99=9, fan_out=7),
    )
    assert curves(results) == {
        "WedSync, shared": [Point(100, 10, 20), Point(800, 30, 60)],
        "dbos": [Point(50, 35, 70)],
    }


def test_the_picture_shows_every_point_inside_its_frame() -> None:
    """The SVG is well-formed and holds a dot for each point, none outside, and each system's name."""
    found = {"WedSync, shared": [Point(100, 10, 20), Point(2000, 30, 190)], "a < b": [Point(50, 35, 7000)]}
    root = fromstring(draw(found))
    dots = _all(root, "circle")
    assert len(dots) == 3
    assert all(0 < float(dot.attrib["cx"]) < 860 and 0 < float(dot.attrib["cy"]) < 480 for dot in dots)
    assert {"WedSync, shared", "a < b"} <= {text.text for text in _all(root, "text")}


def test_there_is_no_picture_of_nothing() -> None:
    """Results without a load to compare are refused in words."""
    with pytest.raises(ValueError, match="no steady load"):
        draw(curves({"scenarios": {"activation": [{"case": "first change", "p50 ms": 3}]}}))


def _all(root: Element, name: str) -> list[Element]:
    return root.findall(f"{{http://www.w3.org/2000/svg}}{name}")


def _row(system: str | None, rate: float, *, p99: float, lost: int = 0, fan_out: int = 1) -> dict[str, Any]:
    who = {"system": system} if system else {"placement": "shared"}
    return {
        **who,
        "fan_out": fan_out,
        "planned_rate": rate,
        "achieved_rate": rate,
        "lost": lost,
        "doubled": 0,
        "latency_ms": {"send_to_vendor": {"p50": p99 / 2, "p99": p99}},
    }


def _results(*rows: dict[str, Any]) -> dict[str, Any]:
    peers = [row for row in rows if "system" in row]
    return {"scenarios": {"knee": [row for row in rows if "system" not in row], "peers": peers}}


def _edit(number: int) -> Edit:
    return Edit(f"msg_{number}", "wedding-1", "toast-7", number, {})


def _sends(count: int) -> list[Send]:
    return numbered([_origin()], [(float(number), 0) for number in range(count)])


def _origin() -> Origin:
    return Origin(
        number=7,
        wedding_id="wedding-1",
        account="home",
        collection="wedding-1",
        record=record(7),
        first_edit=1,
        path="/",
        secret=f"whsec_{base64.b64encode(KEY).decode()}",
        copies=[],
    )
