"""What two sides must agree on, held against the real other side."""
