"""What the parts can do alone: no system that is made of them does more.

Each is a program that does one thing as fast as it can; `scenario` runs one after the other, and says how
often a second it was done, and for how much CPU.
"""
