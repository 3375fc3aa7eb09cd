"""The sync service: one actor per wedding, one update at a time."""
