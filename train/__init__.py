"""How a network learns: models, losses, data, the loop and its checkpoints."""
