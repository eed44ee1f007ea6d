"""schemathesis against a running stack: does the gateway do what its schema says?"""
