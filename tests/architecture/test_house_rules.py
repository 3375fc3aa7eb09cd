"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from services.gateway.vendors.manifest import VENDORS, load_vendors
from tests.support.sources import ROOT, files, relative, written_by_hand

# A path of somebody's machine or the address of a private registry works for one person only.
_MACHINE = re.compile(
    r"/(?:home|Users)/[a-z]\w*/|/root/\.|/work/(?:main|shared)\b|(?:--|PIP_)?(?:extra-)?index-url\s*=|\bC:\\Users",
    re.IGNORECASE,
)
_TEXT = {".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".proto", ".json", ".cfg", ".ini", ".sh", ""}
_CALLED_RPC = re.compile(r"wedsync\.api\.(\w+)\.v1\.(\w+Service)/(\w+)")


def _tests(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def test_every_test_says_in_a_sentence_what_it_proves() -> None:
    """A test's docstring is the sentence it proves, and ends like one."""
    silent = [
        f"{relative(path)}:{test.lineno} {test.name}"
        for path in written_by_hand("tests")
        for test in _tests(path)
        if not (ast.get_docstring(test) or "").splitlines()[0:1]
    ]
    assert silent == []


def test_no_test_sleeps_for_a_fixed_time() -> None:
    """Tests wait for a condition, with a limit; a fixed sleep is too long or too short."""
    sleepers = [
        f"{relative(path)}:{node.lineno}"
        for path in written_by_hand("tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]
    assert sleepers == []


def test_nothing_names_one_persons_machine() -> None:
    """No file holds a path of a machine or the address of a package registry."""
    named = [
        f"{relative(path)}: {match[0]}"
        for path in files()
        if path.suffix in _TEXT and path != Path(__file__)
        for match in [_MACHINE.search(path.read_text("utf-8"))]
        if match
    ]
    assert named == []


def test_every_vendor_folder_has_a_manifest_that_loads() -> None:
    """Each folder of a vendor holds a manifest that is valid and an adapter that it names."""
    folders = {path.parent.name for path in VENDORS.glob("*/__init__.py")}
    assert set(load_vendors()) == folders


def test_documents_name_only_calls_that_exist() -> None:
    """Every full name of an RPC in the documents is one that the contracts declare."""
    declared = set(_declared())
    named = {
        (relative(path), *call)
        for path in files()
        if path.suffix == ".md"
        for call in _CALLED_RPC.findall(path.read_text("utf-8"))
    }
    assert {entry for entry in named if entry[1:] not in declared} == set()


def _declared() -> Iterator[tuple[str, str, str]]:
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        text = path.read_text("utf-8")
        package = re.search(r"^package wedsync\.api\.(\w+)\.v1;", text, re.MULTILINE)
        for service in re.finditer(r"^service (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            for name in re.findall(r"^  rpc (\w+)\(", service[2], re.MULTILINE):
                yield (package[1] if package else "", service[1], name)
