"""The gateway's part of bulk predictions."""
