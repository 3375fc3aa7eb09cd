"""What the gateway keeps, in schema `gateway`: one module per subject, the only place that knows SQL.

Every transaction names the organizations (and weddings) it may see; row level security does the rest.
Sweepers find out what is due through a second role that sees routing columns only.
"""
