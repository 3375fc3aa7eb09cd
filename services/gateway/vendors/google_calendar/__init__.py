"""Google Calendar: one calendar, read by sync token and told of by watch channels."""
