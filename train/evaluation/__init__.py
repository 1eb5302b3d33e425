"""Accuracy over every clip of a list, by one process or several."""
