"""Runs schemathesis against a stack, to test the gateway against its schema."""
