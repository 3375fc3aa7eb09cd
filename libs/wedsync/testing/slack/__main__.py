"""`python -m wedsync.testing.slack --port N [--data FILE]`: a workspace in Slack on this machine."""

from wedsync.testing.slack.server import main

main()
