"""The training loop: steps, optimiser, precision, progress."""
