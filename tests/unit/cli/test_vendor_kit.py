"""What somebody who adds a vendor is given, and is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from services.gateway.vendors.manifest import load_manifest
from tests.certification.examine import examine
from tests.unit.cli.conftest import Wedsync
from wedsync.cli.vendor_kit.check import Report, ask
from wedsync.cli.vendor_kit.checkout import BENCHES, VENDORS, checkout
from wedsync.cli.vendor_kit.new import scaffold, write

EXAMINED: dict[str, Any] = {
    "vendor": "acme",
    "problems": [],
    "missing": [],
    "reached": {"polled": "every 60 s"},
    "kinds": [
        {"kind": "task", "create": True, "update": False, "delete": False, "fields": {"title": "both"}}
    ],
}
PASSED = {"case": "what people do arrives (task)", "proves": "It does.", "outcome": "pass", "cause": ""}
FAILED = {"case": "a lost cursor", "proves": "It does.", "outcome": "fail", "cause": "2 == 1 (test.py:7)"}
SKIPPED = {"case": "a wrong clock", "proves": "It does.", "outcome": "skip", "cause": "it has no clock"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a new vendor in it."""
    write(tmp_path, scaffold("acme_planner"))
    return tmp_path


def test_a_new_vendor_is_whole_but_for_what_only_its_author_knows(made: Path) -> None:
    """Its manifest is valid, and exactly what is to be written is named, by file and line."""
    assert load_manifest(made / VENDORS / "acme_planner").display_name == "Acme Planner"
    found = examine("acme_planner", folders=made / VENDORS, benches=made / BENCHES)
    assert found.problems == []
    names = [entry.split(": ")[1].split(" ")[0] for entry in found.missing]
    assert names == [
        *("check", "scan", "read", "find", "create", "update", "delete"),
        *("system", "_account", "make", "edit", "remove", "texts"),
    ]
    assert all(" is to be written: " in entry for entry in found.missing)


def test_a_new_vendor_follows_the_house_style(made: Path) -> None:
    """Nobody has to mend what was made before writing what is missing."""
    config = str(checkout() / "pyproject.toml")
    for words in (("check", "--no-cache"), ("format", "--check", "--no-cache")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--config", config, str(made)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout


def test_nothing_is_written_over(made: Path) -> None:
    """A vendor that is there already stays as it is."""
    with pytest.raises(typer.Exit):
        write(made, scaffold("acme_planner"))
    write(made, scaffold("acme"))
    assert (made / BENCHES / "acme.py").exists()


@pytest.mark.parametrize("command", ["new", "check"])
def test_a_vendor_has_a_name_that_a_folder_can_have(wedsync: Wedsync, command: str) -> None:
    """Anything else is a usage error, found before anything is written or run."""
    assert wedsync("vendor", command, "Acme Planner").exit_code == 2


def test_what_is_missing_comes_before_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    """Problems are shown as they were found, and nothing is called certified."""
    report = Report("acme", quiet=False)
    report.take({"examined": {**EXAMINED, "problems": ["manifest.yaml:3: kinds lacks create: write true"]}})
    report.end(as_json=False)
    said = capsys.readouterr().out
    assert "!! manifest.yaml:3: kinds lacks create: write true" in said
    assert "acme is not certified: no case was run" in said
    assert not report.certified


def test_a_report_says_what_passed_what_failed_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """One failure is enough; what does not concern the vendor says why, and is none."""
    report = Report("acme", quiet=False)
    for line in ({"examined": EXAMINED}, PASSED, SKIPPED):
        report.take(line)
    assert report.certified
    report.take(FAILED)
    report.end(as_json=False)
    said = capsys.readouterr().out
    assert "task       create: title (both)" in said
    assert "ok what people do arrives (task)\n" in said
    assert "-- a wrong clock\n   it has no clock" in said
    assert "!! a lost cursor\n   2 == 1 (test.py:7)" in said
    assert "acme is not certified: 1 cases passed, 1 failed, 1 do not concern it." in said


def test_a_report_is_one_piece_of_json_if_so_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed before it is complete."""
    report = Report("acme", quiet=True)
    for line in ({"examined": EXAMINED}, PASSED):
        report.take(line)
    assert capsys.readouterr().out == ""
    report.end(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["vendor"], said["certified"], said["cases"]) == ("acme", True, [PASSED])


def test_the_suite_is_asked_and_not_imported(tmp_path: Path) -> None:
    """It is a program of the checkout, and what it says line by line is taken."""
    program = "import json, sys\nfor word in ('examined', 'case'): print(json.dumps({word: sys.argv[1]}))\n"
    (tmp_path / "pretended.py").write_text(program, "utf-8")
    assert list(ask(tmp_path, "acme", "pretended")) == [{"examined": "acme"}, {"case": "acme"}]


def test_a_suite_that_says_nothing_is_no_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    """What breaks before its first line is said, and how to see why."""
    report = Report("acme", quiet=False)
    report.end(as_json=False)
    assert "said nothing" in capsys.readouterr().err
    assert not report.certified
