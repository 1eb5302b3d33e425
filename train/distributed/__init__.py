"""Several processes that train the same networks."""
