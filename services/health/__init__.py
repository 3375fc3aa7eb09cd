"""How well each vendor's system is doing."""
