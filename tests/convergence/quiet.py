"""Quiet: what goes wrong here goes wrong on purpose."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import structlog


def be_quiet() -> None:
    """Have nobody write logs."""
    logging.disable(logging.CRITICAL)
    structlog.configure(processors=[_dropped])


def be_heard() -> None:
    """Have logs written as usual."""
    logging.disable(logging.NOTSET)
    structlog.reset_defaults()


def _dropped(*_: Any) -> NoReturn:
    raise structlog.DropEvent
