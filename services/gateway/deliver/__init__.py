"""Bringing each vendor's record to the canonical state: planned purely, then done."""
