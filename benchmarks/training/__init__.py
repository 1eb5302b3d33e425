"""Trainings as subprocesses, and what one training step costs."""
