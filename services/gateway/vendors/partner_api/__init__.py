"""A partner's own system behind our Partner API: one collection, told of by webhooks with whole records."""
