"""Tave (VSCO Workspace): one job with its events, people and payments, polled and hinted by rest hooks."""
