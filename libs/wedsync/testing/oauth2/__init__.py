"""A token endpoint on this machine, and a resource behind it, both as spiteful as real ones.

Refresh tokens may be good for one use, refused, answered late or never, and every refresh is counted.
"""

from wedsync.testing.oauth2.authority import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Authority
from wedsync.testing.oauth2.running import add_token_endpoint, running

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "Authority", "add_token_endpoint", "running"]
