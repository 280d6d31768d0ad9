"""Floor 6: tree to meaning: every name resolved, every option checked, every mistake found. Loads no torch."""
