"""A strict, stateful simulator of Google Calendar's API v3: one account, its calendars and channels."""

from wedsync.testing.google_calendar.app import CONTROL, create_app
from wedsync.testing.google_calendar.calendars import Calendar
from wedsync.testing.google_calendar.running import running
from wedsync.testing.google_calendar.sandbox import BASE, CALENDAR, TOKEN, Sandbox
from wedsync.testing.google_calendar.traffic import Fault

__all__ = ["BASE", "CALENDAR", "CONTROL", "TOKEN", "Calendar", "Fault", "Sandbox", "create_app", "running"]
