"""Where the vendors of the sandbox are, as the run file and the calendar's account say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from wedsync.cli.connection import Connection
from wedsync.errors import FailedPrecondition

# The simulator's own; it guards nothing.
_TAVE_KEY, _TAVE_API = "sandbox-key", "/api/v2"
_STRIPE_KEY, _STRIPE_SECRET = "sk_test_sandbox", "whsec_sandbox"
_SLACK_TOKEN, _SLACK_SECRET, _SLACK_CHANNEL = "xoxb-sandbox-token", "sandbox-signing-secret", "C0WEDDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Four vendors' systems and the accounts there."""

    gateway_url: str
    tave_url: str
    tave_key: str = field(default=_TAVE_KEY, repr=False)
    caldav_url: str
    username: str
    password: str = field(repr=False)
    stripe_url: str
    stripe_key: str = field(default=_STRIPE_KEY, repr=False)
    stripe_secret: str = field(default=_STRIPE_SECRET, repr=False)
    slack_url: str
    slack_token: str = field(default=_SLACK_TOKEN, repr=False)
    slack_secret: str = field(default=_SLACK_SECRET, repr=False)
    slack_channel: str = _SLACK_CHANNEL

    def calendar_url(self, name: str) -> str:
        """Return the address of a calendar of the account."""
        return f"{self.caldav_url.rstrip('/')}/{self.username}/{name}/"


def find_sandbox(connection: Connection) -> Sandbox:
    """Return the sandbox of the running system. Raises `FailedPrecondition` where there is none."""
    run = connection.run
    if not run or connection.stale:
        raise FailedPrecondition(
            f"The demo needs a system with its sandbox on this machine, and {connection.run_file} names none "
            "that runs. Start one with `make run`, in another terminal."
        )
    try:
        account = json.loads((Path(run["home"]) / "sandbox" / "radicale" / "account.json").read_text("utf-8"))
        return Sandbox(
            gateway_url=run["http"],
            tave_url=run["sandbox"]["tave"] + _TAVE_API,
            caldav_url=run["sandbox"]["radicale"],
            stripe_url=run["sandbox"]["stripe"],
            slack_url=run["sandbox"]["slack"],
            username=account["username"],
            password=account["password"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(
            f"The sandbox of {connection.run_file} cannot be read ({error}): start the system again."
        ) from error
