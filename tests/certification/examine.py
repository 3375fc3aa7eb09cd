"""What of a vendor is there and what is missing, before anything of it is run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.gateway.vendors.manifest import VENDORS, Manifest, ManifestError, load_manifest
from services.gateway.vendors.port import PushPort, ShowingPort, VendorPort

ROOT = Path(__file__).parents[2]
BENCHES = Path(__file__).parent / "vendors"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What was found."""

    vendor: str
    problems: list[str] = field(default_factory=list)
    """What is wrong with the manifest: file, line, place and cure."""
    missing: list[str] = field(default_factory=list)
    """What is still to be written: file, line and what it is."""
    reached: dict[str, str] = field(default_factory=dict)
    """How the vendor is reached, and how it reaches us."""
    kinds: list[dict[str, Any]] = field(default_factory=list)
    """What can be done to each kind, and its fields."""

    @property
    def whole(self) -> bool:
        """Whether there is something to certify."""
        return not self.problems and not self.missing

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def examine(vendor: str, *, folders: Path = VENDORS, benches: Path = BENCHES) -> Examined:
    """Read a vendor's files without running them."""
    folder = folders / vendor
    if not folder.is_dir():
        known = ", ".join(sorted(path.parent.name for path in folders.glob("*/manifest.yaml")))
        cure = f"`wedsync vendor new {vendor}` makes it; there are {known}"
        return Examined(vendor=vendor, problems=[f"{_named(folder)}:1: is no folder: {cure}"])
    try:
        manifest = load_manifest(folder)
    except ManifestError as error:
        return Examined(vendor=vendor, problems=[_relative(problem) for problem in error.problems])
    missing = [*_adapter(folder / "adapter.py", manifest), *_bench(benches / f"{vendor}.py", manifest)]
    return Examined(vendor=vendor, missing=missing, reached=_reached(manifest), kinds=_kinds(manifest))


def _adapter(path: Path, manifest: Manifest) -> Iterator[str]:
    if not path.exists():
        yield f"{_named(path)}:1: is not there: write it with create_adapter(http, manifest, account, scope)"
        return
    tree = ast.parse(path.read_text("utf-8"))
    if not any(isinstance(node, ast.FunctionDef) and node.name == "create_adapter" for node in tree.body):
        yield f"{_named(path)}:1: has no entry point: define create_adapter(http, manifest, account, scope)"
    shows = manifest.inbound is not None and manifest.inbound.whole_records
    ports = [VendorPort, *[PushPort] * bool(manifest.push), *[ShowingPort] * shows]
    yield from _lacking(path, tree, "scan", {name: doc for port in ports for name, doc in _methods(port)})
    yield from _unwritten(path, tree)


def _bench(path: Path, manifest: Manifest) -> Iterator[str]:
    if not path.exists():
        yield f"{_named(path)}:1: is not there: see tests/certification/bench.py for what it holds"
        return
    tree = ast.parse(path.read_text("utf-8"))
    if not any(isinstance(node, ast.AsyncFunctionDef) and node.name == "system" for node in tree.body):
        yield f"{_named(path)}:1: has no entry point: define system(folder), as the other benches do"
    text = ast.unparse(tree)
    for kind in manifest.kinds:
        if f"ItemKind.{kind.name}" not in text:
            yield f"{_named(path)}:1: has no hands for {kind}: the manifest says that the vendor keeps it"
    yield from _unwritten(path, tree)


def _methods(port: type) -> Iterator[tuple[str, str]]:
    for name, method in vars(port).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            yield name, (inspect.getdoc(method) or "").partition("\n")[0]


def _lacking(path: Path, tree: ast.Module, mark: str, wanted: dict[str, str]) -> Iterator[str]:
    """Yield what the class that has the method `mark` lacks of what is wanted."""
    for found in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        names = {function.name for function in _functions(found)}
        if mark in names:
            for name in sorted(wanted.keys() - names):
                yield f"{_named(path)}:{found.lineno}: {found.name} lacks {name}: {wanted[name]}"


def _unwritten(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield the functions that only say what they should do."""
    for function in _functions(tree):
        if todo := next(filter(None, map(_todo, function.body)), ""):
            yield f"{_named(path)}:{function.lineno}: {function.name} is to be written: {todo}"


def _todo(statement: ast.stmt) -> str:
    match statement:
        case ast.Raise(exc=ast.Call(func=ast.Name("NotImplementedError"), args=[ast.Constant(str(todo))])):
            return todo
    return ""


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _reached(manifest: Manifest) -> dict[str, str]:
    inbound, push, poll = manifest.inbound, manifest.push, manifest.poll
    told = f"webhooks: {', '.join(sorted(inbound.events))}" if inbound else "nothing"
    return {
        "address": manifest.base_url,
        "auth": f"{manifest.auth.type}: {', '.join(entry.name for entry in manifest.auth.credentials)}",
        "tells us": f"{told}, by channels that we open" if push else told,
        "polled": f"every {poll.interval_seconds:g} s",
        "scope": ", ".join(manifest.scope),
    }


def _kinds(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind.value,
            "create": rules.create,
            "update": rules.update,
            "delete": rules.delete,
            "fields": {path: f"{rule.direction} {rule.equivalence}" for path, rule in rules.fields.items()},
        }
        for kind, rules in manifest.kinds.items()
    ]


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def _relative(problem: str) -> str:
    return problem.removeprefix(f"{ROOT.as_posix()}/")
