"""Intervals and tests for classifiers that answered the same clips."""
