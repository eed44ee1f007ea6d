"""How a worker says that it lives, and what it does when it no longer works."""
