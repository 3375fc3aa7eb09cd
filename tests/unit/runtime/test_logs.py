"""Logs: one JSON object a line, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from wedsync.runtime.logs import REDACTED, configure_logs, get_logger
from wedsync.runtime.traceparent import within

_KEY = "wsk_0a1b2c3d_s3cr3t-Part_x"


class Log:
    """Where the log went."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each line as the object it is."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """Logs of a service called sync; everything is put back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    made = Log()
    configure_logs("sync", "INFO", made.stream)
    yield made
    root.handlers, root.level = before[0], before[1]
    root.setLevel(before[1])
    structlog.reset_defaults()


def test_both_worlds_write_the_same_form(log: Log) -> None:
    """The standard library and structlog give the same keys, with the trace of what is being done."""
    with within(f"00-{'a' * 32}-{'b' * 16}-01"):
        get_logger("ours").info("accepted", vendor="tave")
        logging.getLogger("theirs").warning("slow: %d ms", 40, extra={"vendor": "tave"})
    ours, theirs = log.lines
    assert (ours["event"], ours["level"], ours["logger"]) == ("accepted", "info", "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow: 40 ms", "warning", "theirs")
    for line in (ours, theirs):
        assert (line["service"], line["vendor"], line["trace_id"]) == ("sync", "tave", "a" * 32)
        assert line["timestamp"].endswith("Z")


def test_below_the_level_nothing_is_written(log: Log) -> None:
    """Debug lines and chatty libraries stay silent."""
    get_logger("ours").debug("details")
    logging.getLogger("alembic.runtime").info("details")
    assert log.lines == []


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "hush"},
        {"headers": {"Authorization": "hush", "accept": "json"}},
        {"many": [{"client_secret": "hush"}, ("x",)]},
        {"text": "call with Bearer hush1234567 now"},
        {"url": "postgresql://app:hush@db:5432/wedsync"},
        {"shown": f"the key {_KEY} leaked"},
        {"api_key": b"hush"},
    ],
)
def test_secrets_are_taken_out(log: Log, fields: dict[str, Any]) -> None:
    """By name or by looks, at any depth, a secret is replaced."""
    get_logger("ours").info("event", **fields)
    text = log.stream.getvalue()
    assert "hush" not in text
    assert "s3cr3t" not in text
    assert REDACTED in text


def test_what_is_no_secret_stays(log: Log) -> None:
    """Numbers, empty secrets, hosts and other fields are readable."""
    get_logger("ours").info("event", port=5432, token=None, url="postgresql://db/wedsync", tags={"a"})
    [line] = log.lines
    assert (line["port"], line["token"], line["url"]) == (5432, None, "postgresql://db/wedsync")
    assert line["tags"] == ["a"]


def test_a_traceback_is_part_of_the_line_and_clean(log: Log) -> None:
    """An exception stays one line, with its traceback and without the secret in its text."""
    try:
        _refuse()
    except RuntimeError:
        logging.getLogger("theirs").exception("failed")
    [line] = log.lines
    assert "RuntimeError: refused" in line["exception"]
    assert "s3cr3t" not in log.stream.getvalue()


def test_what_json_has_no_word_for_is_shown_by_its_type(log: Log) -> None:
    """An object's repr could carry anything, so only its type is written."""
    get_logger("ours").info("event", thing=object())
    assert log.lines[0]["thing"] == "<object>"


def _refuse() -> None:
    raise RuntimeError(f"refused {_KEY}")
