"""The embedded dataset: short clips whose label is a motion."""
