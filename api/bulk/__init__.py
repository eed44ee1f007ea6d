"""The gateway's part of bulk predictions: uploads, downloads, events, and the sweeper."""
