"""An honest client during continuous attacks."""
