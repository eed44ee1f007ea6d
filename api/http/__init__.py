"""The gateway's HTTP interface. Only this package maps errors to HTTP statuses."""
