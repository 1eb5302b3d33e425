"""A bundle as a Triton model repository, and a client."""
