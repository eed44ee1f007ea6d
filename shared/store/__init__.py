"""The data in Redis and the scripts that change it. No other package changes the state of a batch.

    gateway                                worker                          gateway
    submissions ──▶ queued ──▶ attempts: claim ──▶ running ──▶ commit ──▶ committed ──▶ lookups
                       ▲                              │
                       └──── workers, recovery ◀──────┘ an attempt without an outcome

`schema` defines the keys, fields and states; `records` encodes values; `scripts` contains the Lua scripts, which are
atomic. The other modules have a typed method for each script, in one class for each kind of caller; `transport` and its
three implementations run the scripts.
"""
