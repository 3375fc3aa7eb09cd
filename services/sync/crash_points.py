"""The instants of an owner's life at which a test may end it."""

from __future__ import annotations

BEFORE_TAKEOVER = "before-takeover"
AFTER_TAKEOVER = "after-takeover"
BEFORE_COMMIT = "before-commit"
AFTER_COMMIT = "after-commit"
BEFORE_ANSWER = "before-answer"
