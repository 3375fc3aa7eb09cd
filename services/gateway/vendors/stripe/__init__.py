"""Stripe: one customer's payments, hinted by events and polled as a safety net."""
