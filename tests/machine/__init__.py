"""The life of a batch as a state machine: all act in random order, and the promises hold after each step."""
