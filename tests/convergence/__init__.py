"""The two-way engine under a scheduler that draws everything from a seed: time, order, faults, edits.

as in production      the gateway's engine with all its loops, and the planner of the sync service
PostgreSQL            `tables`: the gateway's stores in memory, with leases that lapse
a gateway's process   `gateway`: it dies, freezes and comes back; two may work on the same tables
vendors               `vendor`: each made from its manifest; `habits`: what manifests do not say
the lines to them     `api`; webhooks and commits on their way: `post`
the sync service      `canon`
who edits             `people`, with `values` that are near to each other
what goes wrong       `faults` (at a point, or with a call), `Site.trouble` (for a while)
what must hold        `judge` (once all is quiet), `witness` (while it happens)
one seed              `site` (what there is), `world` (what happens), `report` (how it went)
the proof's own test  `mutants`
"""
