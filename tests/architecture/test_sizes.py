"""Sizes: a file or a function that outgrows them is split, and this says which one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

from tests.support.sources import relative, written_by_hand

_MAX_FILE_LINES = 500
_MEDIAN_FUNCTION_LINES = 10
_NINTH_DECILE_LINES = 35
_PARTS = ("libs", "services", "tests")


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{relative(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_file_has_more_than_500_lines() -> None:
    """A file of more than 500 lines does too much: split it."""
    sizes = {relative(path): len(path.read_text("utf-8").splitlines()) for path in written_by_hand(*_PARTS)}
    assert {path: lines for path, lines in sizes.items() if lines > _MAX_FILE_LINES} == {}


@pytest.mark.parametrize("part", _PARTS)
def test_functions_are_short(part: str) -> None:
    """Half of all functions have at most 10 lines, nine tenths fewer than 35."""
    sizes = dict(entry for path in written_by_hand(part) for entry in _functions(path))
    longest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    assert median(sizes.values()) <= _MEDIAN_FUNCTION_LINES, longest
    assert quantiles(sizes.values(), n=10)[-1] < _NINTH_DECILE_LINES, longest
