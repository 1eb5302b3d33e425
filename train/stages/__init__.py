"""What a run builds on, made before it, and how long everything will take."""
