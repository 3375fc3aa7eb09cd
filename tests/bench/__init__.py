"""What the system costs and how fast it is: `make bench`, or `python -m tests.bench --list`.

Everything runs as in production, on real servers and in processes of their own. Loads on the whole system
(`Whole`: four services and the vendors' systems) are those of `wedsync bench`, from `wedsync.testing.load`:
signed webhooks are sent when they are due, whether or not those before were answered, latency counts from
then, and at the end inbox, logs and vendors' stores are compared. Scenarios of the sync service alone
(`Site`) call it by gRPC; there the generator, and a gateway that takes everything, are in the benchmark's
own process.
"""
