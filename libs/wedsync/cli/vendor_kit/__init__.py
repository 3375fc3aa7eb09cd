"""`wedsync vendor new` and `wedsync vendor check`: for whoever adds a vendor. Both need a checkout."""
