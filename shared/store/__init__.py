"""Everything that Redis holds, and the one owner of the life of a batch.

    gateway                                worker                          gateway
    submissions ──▶ queued ──▶ attempts: claim ──▶ running ──▶ commit ──▶ committed ──▶ lookups
                       ▲                              │
                       └── announcements, recovery ◀──┘ an attempt without an outcome

`schema` names the keys, the fields and the states; `records` says how their values are written; each script in
`scripts` is one step to everybody else. The other modules put a typed method in front of each script, in classes by who
calls them, over one of three transports.
"""
