"""Errors, files, hardware, signals, terminals."""
