"""`python -m wedsync.testing.google_calendar --port N [--data FILE]`: Google Calendar on this machine."""

from wedsync.testing.google_calendar.server import main

main()
