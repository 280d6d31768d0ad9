"""Floor 6: tree to meaning: names resolved, options checked, all mistakes found. Loads no torch."""
