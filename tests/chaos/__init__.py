"""The chaos run: steady traffic with a ledger, faults again and again, and at the end an account of every id."""
