"""Slack: one channel's messages, hinted by events, decided by buttons, and polled as a safety net."""
