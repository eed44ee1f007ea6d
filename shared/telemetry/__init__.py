"""What metrics and traces of every process have in common."""
