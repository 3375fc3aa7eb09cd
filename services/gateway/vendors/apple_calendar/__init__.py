"""Apple Calendar, and any other CalDAV server: discovery, sync-collection, ETags."""
