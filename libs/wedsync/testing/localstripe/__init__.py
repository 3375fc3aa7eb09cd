"""Stripe on this machine: the package localstripe as a program, and the hands of merchant and customers.

`server` is the program, `running` starts it, `account` acts in it, `events` tells what it does not tell,
and `differences` mends what it lacks.
"""
