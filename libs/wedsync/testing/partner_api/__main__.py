"""`python -m wedsync.testing.partner_api --port N`: a partner's system on this machine."""

from wedsync.testing.partner_api.server import main

main()
