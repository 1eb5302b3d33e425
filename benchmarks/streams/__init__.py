"""`python -m benchmarks.streams`: a long file and a live source that is too fast."""
