"""`wedsync vendor check`: what of a vendor is wrong or missing, and which cases it passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from wedsync.cli.output import AsJson, clean, complain, console, print_json
from wedsync.cli.vendor_kit.checkout import checkout
from wedsync.cli.vendor_kit.new import Name

SUITE = "tests.certification"

Line = dict[str, Any]

_MARKS = {"pass": "ok", "fail": "!!", "skip": "--"}


def check(name: Name, as_json: AsJson = False) -> None:
    """Look through a vendor's files, then certify it against its system on this machine."""
    report = Report(name, quiet=as_json)
    for line in ask(checkout(), name):
        report.take(line)
    report.end(as_json=as_json)
    if not report.certified:
        raise typer.Exit(1)


def ask(root: Path, name: str, suite: str = SUITE) -> Iterator[Line]:
    """Yield what the suite says, as it says it. It belongs to the checkout, so it is run and not imported."""
    command = [sys.executable, "-m", suite, name]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603
        for line in running.stdout or ():
            yield json.loads(line)


class Report:
    """What was said so far; shown as it comes, unless it is wanted as one piece of JSON."""

    def __init__(self, vendor: str, *, quiet: bool) -> None:
        self._vendor, self._quiet = vendor, quiet
        self._examined: Line = {}
        self._cases: list[Line] = []

    @property
    def certified(self) -> bool:
        """Whether nothing is missing and every case that there is passed."""
        whole = bool(self._examined) and not self._examined["problems"] and not self._examined["missing"]
        return whole and bool(self._cases) and not self._count()["fail"]

    def take(self, line: Line) -> None:
        """Take one line of the suite's."""
        if "examined" in line:
            self._examined = line["examined"]
            self._show(list(_examined(self._examined)))
        else:
            self._cases.append(line)
            self._show(list(_case(line)))

    def end(self, *, as_json: bool) -> None:
        """Sum it up."""
        if as_json:
            print_json({**self._examined, "cases": self._cases, "certified": self.certified})
        elif not self._examined:
            complain("the certification suite said nothing: run `python -m tests.certification` to see why.")
        else:
            console().print(self._verdict())

    def _verdict(self) -> str:
        if not self._cases:
            return f"\n{self._vendor} is not certified: no case was run before the above is mended."
        count = self._count()
        said = f"{count['pass']} cases passed, {count['fail']} failed, {count['skip']} do not concern it"
        return f"\n{self._vendor} is {'' if self.certified else 'not '}certified: {said}."

    def _count(self) -> Counter[str]:
        return Counter(case["outcome"] for case in self._cases)

    def _show(self, lines: list[str]) -> None:
        if not self._quiet:
            for line in lines:
                console().print(clean(line))


def _examined(found: Line) -> Iterator[str]:
    for name, value in found["reached"].items():
        yield f"{name:10}{value}"
    for kind in found["kinds"]:
        verbs = " ".join(verb for verb in ("create", "update", "delete") if kind[verb]) or "read only"
        fields = ", ".join(f"{path} ({how})" for path, how in kind["fields"].items())
        yield f"{kind['kind']:10} {verbs}: {fields}"
    for title in ("problems", "missing"):
        for problem in found[title]:
            yield f"!! {problem}"


def _case(line: Line) -> Iterator[str]:
    yield f"{_MARKS[line['outcome']]} {line['case']}"
    if line["cause"]:
        yield f"   {line['cause']}"
