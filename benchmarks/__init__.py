"""Is it fast, is it right, is the gain still there: measure, test, report."""
