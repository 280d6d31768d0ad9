"""Floor 3: what a program is made of beside losses: activations, reductions, functions, and the decorators."""
