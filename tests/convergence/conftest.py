"""Quiet while seeds are lived through; what an edit cost each vendor is shown once the tests are done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.convergence.quiet import be_heard, be_quiet
from tests.convergence.report import Report, table

FIGURES = "converged"
"""The property under which a test hands over its reports; it also reaches whoever started other processes."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    be_quiet()
    yield
    be_heard()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures."""
    passed = terminalreporter.stats.get("passed", [])
    found = [value for test in passed for name, value in test.user_properties if name == FIGURES]
    if reports := [Report.from_figures(figures) for each in found for figures in each]:
        terminalreporter.section(f"two-way edits in {len(reports)} storms")
        terminalreporter.write("\n".join(table(reports)) + "\n")
