"""What INT8 costs, by three ways of making it."""
