"""A bundle, step by step: its files, its description, the folder that appears whole."""
