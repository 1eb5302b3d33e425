"""Is the gain still there under another camera: the same clips, perturbed before they are read."""
