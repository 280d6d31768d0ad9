"""Floor 2: what touches torch below the losses: the loading of torch, custom gradients, masks, targets."""
