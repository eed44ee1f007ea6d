"""A worker's announcements, its probes, and the watchdog that repairs or stops it."""
