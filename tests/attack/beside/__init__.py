"""An honest client beside attacks that go on."""
