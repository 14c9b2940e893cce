"""Everything on one machine: `payments dev`. Nothing that serves imports this."""
