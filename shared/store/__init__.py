"""Everything that Redis holds. No other package changes the state of a batch.

    gateway                                worker                          gateway
    submissions ──▶ queued ──▶ attempts: claim ──▶ running ──▶ commit ──▶ committed ──▶ lookups
                       ▲                              │
                       └──── workers, recovery ◀──────┘ an attempt without an outcome

`schema` names the keys, the fields and the states; `records` encodes their values; each script in `scripts` is atomic.
The other modules give each script a typed method, in classes by caller, over one of three transports.
"""
