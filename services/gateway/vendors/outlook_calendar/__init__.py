"""Outlook's calendar, by Microsoft Graph: delta links over a window, weak ETags, subscriptions."""
