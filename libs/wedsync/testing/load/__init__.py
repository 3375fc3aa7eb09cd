"""Load on a whole system: signed webhooks at planned times, vendors that answer, and what became of it.

`generator` and `sink` are processes of their own, so that neither slows the other; whoever runs a scenario
(`wedsync bench`, `make bench`) only waits. Nothing here imports a service: the system is reached as any
vendor and any customer reaches it.
"""
