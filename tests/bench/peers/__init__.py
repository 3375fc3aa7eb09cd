"""The same work done by general job runners, on the same machine, against the same servers.

One webhook of a vendor: taken over HTTP, its Standard Webhooks signature checked, safe in PostgreSQL before
the 2xx; then, one at a time for each wedding, state and log committed, and one other vendor told by PUT.
Whatever is killed in between and started again, the webhook is worked at least once and logged once.

Each peer is a module of three parts: `prepare` (its tables), `ingress` (a process) and `worker` (a process,
some of them). What all share is in `work`, `ingress` and `vendor`, so that they differ only in how a peer
keeps, orders and hands out work. Its docstring says how it was tuned. Where a peer could be spared work that
WedSync does, it was: no tenants' policies, journeys, traces, shadows, retries of vendors or fields' merging.
"""
