"""The gateway: all vendor I/O, in and out, and the REST front."""
