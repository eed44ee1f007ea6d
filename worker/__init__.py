"""The model: one process owns one loaded pipeline. No HTTP."""
