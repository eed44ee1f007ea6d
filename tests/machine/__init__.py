"""The life of a batch as a state machine: gateways, workers and clients act in random order; invariants are checked."""
