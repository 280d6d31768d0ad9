"""Floor 7: meaning to plan: one list of steps on tensors, and the passes that make it shorter."""
