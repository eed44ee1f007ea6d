"""The gateway's part of bulk predictions: uploads, downloads, progress, and what is swept."""
