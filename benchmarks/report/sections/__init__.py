"""The parts of the page of a result, a module each."""
