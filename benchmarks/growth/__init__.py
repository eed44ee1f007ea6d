"""How cost grows: with the batch, with what waits, with the gateway's processes, with the artifact."""
