"""Every vendor and the truth come to agree."""
