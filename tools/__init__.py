"""What writes documentation and figures."""
