"""From validated rows to an answer, or to an id that will have one."""
