"""A token endpoint on this machine, and a resource behind it, both as spiteful as real ones.

Refresh tokens may be good for one use, refused, answered late or never, and every refresh is counted.
"""

from wedsync.testing.oauth2.authority import CLIENT_ID, CLIENT_SECRET, Authority
from wedsync.testing.oauth2.running import running

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Authority", "running"]
