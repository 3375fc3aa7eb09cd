"""Run scenarios, print their figures, and leave nothing behind."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from tests.bench.figures import Row, machine, show
from tests.bench.peers.plot import curves, draw
from tests.bench.peers.ratios import ratios
from tests.bench.registry import EVERY, SCENARIOS, SITE, about, load
from tests.bench.site import Site, a_site
from tests.bench.whole import Wanted, Whole
from tests.support.processes import descendants


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 1 where a scenario did not hold, or a process outlived the run."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for name in SCENARIOS:
            print(f"{name:12} {about(name)}")  # noqa: T201  # what was asked for
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    before = descendants()
    with tempfile.TemporaryDirectory(prefix="wedsync-bench-") as home:
        results = uvloop.run(_run(asked, Path(home)))
    if compared := ratios(results):
        results["ratios"] = compared
        _say(f"ratios: {compared}")
    if asked.json:
        print(json.dumps(results, indent=2))  # noqa: T201  # what was asked for
    if asked.picture:
        asked.picture.write_text(draw(curves(results)), "utf-8")
    left = descendants() - before
    if left:
        sys.stderr.write(f"processes outlived the run: {left}\n")
    return 1 if left or results["broken"] else 0


async def _run(asked: argparse.Namespace, home: Path) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "scenarios": {}, "broken": {}}
    names = asked.scenarios or list(EVERY)
    async with contextlib.AsyncExitStack() as opened:
        whole = Whole(home, _wanted(asked))
        opened.push_async_callback(whole.stop)
        site: Site | None = None
        for name in names:
            if name in SITE and site is None:
                await whole.stop()  # one system at a time
                site = await opened.enter_async_context(a_site(home))
            await _scenario(name, site if name in SITE else whole, results, quiet=asked.json)
    return results


async def _scenario(name: str, place: object, results: dict[str, Any], *, quiet: bool) -> None:
    rows: list[Row] = results["scenarios"].setdefault(name, [])
    began = time.monotonic()
    try:
        async with contextlib.aclosing(load(name).run(place)) as found:
            async for row in found:
                rows.append(row)
                _say(f"{name}: {row}")
    except AssertionError as broken:
        results["broken"][name] = str(broken)
        _say(f"{name} DOES NOT HOLD: {broken}")
    _say(f"{name}: {time.monotonic() - began:.0f} s")
    if not quiet:
        show(f"{name}: {about(name)}", rows)


def _wanted(asked: argparse.Namespace) -> Wanted:
    return Wanted(**{name: getattr(asked, name) for name in Wanted.__dataclass_fields__})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="all if none is named")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--json", action="store_true", help="print JSON at the end instead of tables")
    picture = "draw latency against rate as SVG, WedSync's and its peers'"
    parser.add_argument("--picture", type=Path, metavar="FILE", help=picture)
    load_options = parser.add_argument_group("loads on the whole system")
    load_options.add_argument("--rate", type=float, help="webhooks a second")
    load_options.add_argument("--duration", type=float, help="seconds")
    load_options.add_argument("--weddings", type=int, help="how many are in use")
    load_options.add_argument("--fan-out", type=int, help="how many vendors each edit is brought to")
    load_options.add_argument("--flood", type=int, help="how many webhooks the burst has")
    load_options.add_argument("--placement", choices=("shared", "dedicated"))
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
