"""What a run leaves on disk, and weights that it starts from."""
