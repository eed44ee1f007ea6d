"""The containers, built and run."""
