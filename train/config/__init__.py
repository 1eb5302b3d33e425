"""One experiment: read from YAML, checked, with every mistake told at once."""
