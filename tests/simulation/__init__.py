"""The sync core under a scheduler that draws everything from a seed: time, order, faults.

as in production      directory, pool, mailboxes, lanes, owners, leases, planner, batches, outbox, watching
event loop, threads   `loop`, `greenlets`
PostgreSQL            `tables` and `database` say what is true, `server` and `store` how one is told
Ray, the peers        `actors`, `receivers`
who uses it           `service` (one server of it), `authors`, `clients`
what goes wrong       `faults` (at a point), `troubles` (for a while)
one seed              `world`; what must hold afterwards: `wedsync.testing.history` and `hearing`
the proof's own test  `mutants`
"""
