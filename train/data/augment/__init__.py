"""Training transforms on the frames of a clip."""
