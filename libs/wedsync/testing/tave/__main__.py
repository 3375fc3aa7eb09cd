"""`python -m wedsync.testing.tave --port N [--data FILE]`: a studio in Tave on this machine."""

from wedsync.testing.tave.server import main

main()
