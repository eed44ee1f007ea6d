"""No process but this one."""
