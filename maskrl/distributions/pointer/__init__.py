"""How candidates are chosen: ragged sets, the rules of picking, one path, and all sets."""
