"""The chaos run: sends steady traffic, injects faults repeatedly, and checks the fate of every prediction."""
