"""The whole system on one machine: what `python -m services` does."""
