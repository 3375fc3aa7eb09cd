"""What is said of a vendor's files, and of the cases that are run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certification.examine import ROOT, examine
from wedsync.cli.vendor_kit.new import scaffold, write

VENDORS, BENCHES = Path("services/gateway/vendors"), Path("tests/certification/vendors")
CASES = '''
"""Cases."""
import pytest

@pytest.mark.parametrize("vendor", ["acme", "other"])
@pytest.mark.parametrize("says", ["seconds"])
def test_what_passes(vendor, says):
    """It passes."""

@pytest.mark.parametrize("vendor", ["acme"])
def test_what_fails(vendor):
    """It should pass."""
    assert 1 + 1 == 3, "two"

@pytest.mark.parametrize("vendor", ["acme"])
def test_what_does_not_concern_it(vendor):
    """It would pass."""
    pytest.skip("it has no clock")

@pytest.fixture
def broken():
    """A bench that cannot be started."""
    raise RuntimeError("no server")

@pytest.mark.parametrize("vendor", ["acme"])
def test_what_cannot_begin(vendor, broken):
    """It would pass."""
'''
RUN = """
import json, sys
from pathlib import Path
from tests.certification.__main__ import run
out = sys.stdout
print(run("acme", lambda line: print(json.dumps(line), file=out), Path({folder!r})))
"""


def found(root: Path, vendor: str = "acme") -> tuple[list[str], list[str]]:
    """Return the problems and what is missing, of a vendor below a root."""
    said = examine(vendor, folders=root / VENDORS, benches=root / BENCHES)
    return said.problems, said.missing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a new vendor."""
    write(tmp_path, scaffold("acme"))
    return tmp_path


def test_a_faulty_manifest_is_named_by_line_and_cure(root: Path) -> None:
    """Nothing else is looked at before it can be read."""
    manifest = root / VENDORS / "acme" / "manifest.yaml"
    manifest.write_text(
        manifest.read_text("utf-8").replace("timeout_seconds: 15", "timeout_seconds: 0"), "utf-8"
    )
    [problem], missing = found(root)
    assert problem.startswith(f"{manifest}:10: timeout_seconds is not valid")
    assert problem.endswith("Write how long one call may take: more than 0, at most 120 seconds.")
    assert missing == []


def test_a_folder_that_is_not_there_can_be_made(root: Path) -> None:
    """The cure is the command, and the vendors there are."""
    [problem], _ = found(root, "acne")
    assert "`wedsync vendor new acne` makes it; there are acme" in problem


def test_pieces_that_lack_are_named(root: Path) -> None:
    """An adapter without a method, a bench without hands for a kind, files that are not there."""
    adapter, bench = root / VENDORS / "acme" / "adapter.py", root / BENCHES / "acme.py"
    adapter.write_text("class Acme:\n    async def scan(self, cursor): ...\n", "utf-8")
    bench.write_text("async def system(folder): ...\n", "utf-8")
    _, missing = found(root)
    assert (
        f"{adapter}:1: has no entry point: define create_adapter(http, manifest, account, scope)" in missing
    )
    assert f"{adapter}:1: Acme lacks hints: Return the record ids a webhook event points at." in " ".join(
        missing
    )
    assert (
        f"{bench}:1: has no hands for timeline_event: the manifest says that the vendor keeps it" in missing
    )
    adapter.unlink()
    bench.unlink()
    assert [entry.split(" is not there")[0] for entry in found(root)[1]] == [f"{adapter}:1:", f"{bench}:1:"]


@pytest.mark.parametrize("vendor", sorted(path.stem for path in (ROOT / BENCHES).glob("*.py")))
def test_every_vendor_there_is_has_all_its_pieces(vendor: str) -> None:
    """Nothing is wrong with its manifest, and nothing is missing."""
    said = examine(vendor)
    assert (said.problems, said.missing) == ([], [])
    assert said.whole
    assert {"address", "auth", "tells us", "polled", "scope"} == set(said.reached)


def test_each_case_says_what_became_of_it_and_why(tmp_path: Path) -> None:
    """Only the vendor's own are run; the first cause of a failure comes with its place."""
    (tmp_path / "test_cases.py").write_text(CASES, "utf-8")
    program = RUN.format(folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    *lines, code = done.stdout.splitlines()
    cases = [json.loads(line) for line in lines]
    assert int(code) != 0
    assert [(case["case"], case["outcome"]) for case in cases] == [
        ("what passes (seconds)", "pass"),
        ("what fails", "fail"),
        ("what does not concern it", "skip"),
        ("what cannot begin", "fail"),
    ]
    assert cases[0]["proves"] == "It passes."
    assert cases[1]["cause"].startswith("AssertionError: two")
    assert cases[1]["cause"].endswith("test_cases.py:13)")
    assert cases[2]["cause"] == "it has no clock"
    assert "no server" in cases[3]["cause"]
