"""The chaos run: sends steady traffic, injects faults repeatedly, and accounts for every id."""
