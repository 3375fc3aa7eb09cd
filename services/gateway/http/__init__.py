"""The HTTP front: vendors' webhooks, REST and server-sent events."""
