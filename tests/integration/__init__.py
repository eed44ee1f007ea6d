"""Real broker, real worker processes, real HTTP over a socket."""
