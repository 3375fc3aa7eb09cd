"""Logs: one JSON object a line on stderr, from structlog and the standard library alike, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from wedsync.runtime.traceparent import TraceParent, current_traceparent

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|api_?key|credential|private_?key|cookie|database_url|redis_url",
    re.IGNORECASE,
)
_SECRET_TEXT = (
    (re.compile(r"wsk_[A-Za-z0-9]+_[A-Za-z0-9_-]+"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@"), rf"\1{REDACTED}@"),
)

# Chatty below a warning, and of use to nobody at work.
_QUIET = ("alembic", "asyncio", "opentelemetry", "uvicorn.access")


def configure_logs(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log of this process to the stream (stderr) as JSON. Call once, first thing in `main`."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _adding(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a structured logger: `log.info("webhook accepted", vendor="tave")`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(logger: Any, name: str, event: EventDict) -> EventDict:  # noqa: ARG001  # structlog's signature
    """Take secrets out: by the name they go by, and by how they look inside a text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _formatter(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
    )


def _adding(service: str) -> Processor:
    def add(logger: Any, name: str, event: MutableMapping[str, Any]) -> EventDict:  # noqa: ARG001
        event["service"] = service
        if parent := TraceParent.parse(current_traceparent()):
            event["trace_id"] = f"{parent.trace_id:032x}"
        return event

    return add


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name) and value not in (None, ""):
        return REDACTED
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", inner) for inner in value]
    return value


def _to_json(event: EventDict, **_: Any) -> str:
    # What JSON has no word for is shown by its type only: its repr could carry anything.
    return orjson.dumps(event, default=lambda value: f"<{type(value).__name__}>").decode()
