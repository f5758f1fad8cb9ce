"""How a trooper changes racks: what both sides keep, say to each other, and do."""
