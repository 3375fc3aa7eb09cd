"""A strict, stateful simulator of Slack: one workspace, its people, and one app with its bot."""

from wedsync.testing.slack.app import CONTROL, create_app
from wedsync.testing.slack.running import running
from wedsync.testing.slack.sandbox import BASE, SIGNING_SECRET, TOKEN, Sandbox
from wedsync.testing.slack.traffic import Fault
from wedsync.testing.slack.workspace import CHANNEL, Workspace

__all__ = [
    "BASE",
    "CHANNEL",
    "CONTROL",
    "SIGNING_SECRET",
    "TOKEN",
    "Fault",
    "Sandbox",
    "Workspace",
    "create_app",
    "running",
]
