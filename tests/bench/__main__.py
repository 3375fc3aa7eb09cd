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
from tests.bench.registry import SCENARIOS, about, load
from tests.bench.site import a_site
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
        results = uvloop.run(_run(asked.scenarios or list(SCENARIOS), Path(home), quiet=asked.json))
    if asked.json:
        print(json.dumps(results, indent=2))  # noqa: T201  # what was asked for
    left = descendants() - before
    if left:
        sys.stderr.write(f"processes outlived the run: {left}\n")
    return 1 if left or results["broken"] else 0


async def _run(names: Sequence[str], home: Path, *, quiet: bool) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "scenarios": {}, "broken": {}}
    async with a_site(home) as site:
        for name in names:
            rows: list[Row] = results["scenarios"].setdefault(name, [])
            began = time.monotonic()
            try:
                async with contextlib.aclosing(load(name).run(site)) as found:
                    async for row in found:
                        rows.append(row)
                        _say(f"{name}: {row}")
            except AssertionError as broken:
                results["broken"][name] = str(broken)
                _say(f"{name} DOES NOT HOLD: {broken}")
            _say(f"{name}: {time.monotonic() - began:.0f} s")
            if not quiet:
                show(f"{name}: {about(name)}", rows)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="all if none is named")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--json", action="store_true", help="print JSON at the end instead of tables")
    return parser


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
