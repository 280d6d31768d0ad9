"""Floor 8: plan to torch.nn.Module: binds the steps to functions and chooses the way a call runs."""
