"""`payments dev`, everything on one machine. No production process imports this."""
