"""`python -m wedsync.testing.localstripe --port N [--data FILE]`: Stripe on this machine."""

from wedsync.testing.localstripe.server import main

main()
