"""Is the gain retained: the verdict on every deployment, with its evidence."""
