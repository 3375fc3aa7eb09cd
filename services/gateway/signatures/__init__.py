"""Whether a webhook is its vendor's, one module a way to prove it; what proves it is data in the manifest.

All fail closed: what is missing, misconfigured or unknown refuses, and says why. What is secret is compared
in constant time, and with every live secret, so that the time taken tells nothing of which one was near.
"""
