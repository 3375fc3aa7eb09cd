"""A strict, stateful simulator of Outlook by Microsoft Graph: one mailbox with its calendars."""

from wedsync.testing.outlook.app import CONTROL, create_app
from wedsync.testing.outlook.mailbox import CALENDAR, Mailbox
from wedsync.testing.outlook.running import running
from wedsync.testing.outlook.sandbox import BASE, TOKEN, Sandbox
from wedsync.testing.outlook.traffic import Fault

__all__ = ["BASE", "CALENDAR", "CONTROL", "TOKEN", "Fault", "Mailbox", "Sandbox", "create_app", "running"]
