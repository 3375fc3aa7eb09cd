"""What the system costs and how fast it is: `make bench`, or `python -m tests.bench --list`.

Everything runs as in production, on real servers and in processes of their own; only who calls (the
generator) and who hears of commits (a gateway that takes everything) are in the benchmark's process.
"""
