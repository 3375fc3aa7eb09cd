"""`python -m wedsync.testing.outlook --port N [--data FILE]`: a mailbox in Outlook on this machine."""

from wedsync.testing.outlook.server import main

main()
