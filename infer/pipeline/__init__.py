"""From videos to ranked labels."""
