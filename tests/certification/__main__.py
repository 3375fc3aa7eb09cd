"""`python -m tests.certification VENDOR`: examine a vendor and certify it, one line of JSON after the other.

The first line says what was examined; if nothing is missing, each case that was run has one of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.certification.examine import examine

_HERE = Path(__file__).parent
_OUTCOMES = {"passed": "pass", "failed": "fail", "skipped": "skip"}

Say = Callable[[dict[str, Any]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if the vendor is certified."""
    parser = argparse.ArgumentParser(prog="python -m tests.certification", description=__doc__)
    parser.add_argument("vendor")
    vendor = parser.parse_args(arguments).vendor
    found = examine(vendor)
    said = sys.stdout

    def say(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=said, flush=True)

    say({"examined": found.data()})
    if not found.whole:
        return 1
    return run(vendor, say)


def run(vendor: str, say: Say, suite: Path = _HERE) -> int:
    """Run the suite for one vendor; say what became of each case."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        return int(pytest.main([str(suite), "-q", "-p", "no:cacheprovider"], plugins=[Cases(vendor, say)]))


class Cases:
    """Leaves out other vendors' cases, and tells what became of this one's."""

    def __init__(self, vendor: str, say: Say) -> None:
        self._vendor, self._say = vendor, say
        self._known: dict[str, dict[str, str]] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep this vendor's cases."""
        own = [item for item in items if _parameters(item).get("vendor") == self._vendor]
        config.hook.pytest_deselected(items=[item for item in items if item not in own])
        items[:] = own
        self._known = {item.nodeid: _named(item) for item in own}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a case once it is decided."""
        if report.when == "call" or not report.passed:
            outcome = {"outcome": _OUTCOMES[report.outcome], "cause": _cause(report)}
            self._say({**self._known[report.nodeid], **outcome})


def _named(item: pytest.Item) -> dict[str, str]:
    """Return what a case is called and what it proves."""
    name = item.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
    of = ", ".join(str(value) for key, value in _parameters(item).items() if key != "vendor")
    proof = inspect.getdoc(item.obj) if isinstance(item, pytest.Function) else None
    return {"case": f"{name} ({of})" if of else name, "proves": (proof or "").partition("\n")[0]}


def _parameters(item: pytest.Item) -> dict[str, object]:
    return dict(item.callspec.params) if isinstance(item, pytest.Function) else {}


def _cause(report: pytest.TestReport) -> str:
    """Return the first line of why a case failed or was left out, and where."""
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return report.longreprtext.partition("\n")[0]
    place = Path(crash.path)
    named = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
    return f"{crash.message.partition(chr(10))[0]} ({named}:{crash.lineno})"


if __name__ == "__main__":
    sys.exit(main())
