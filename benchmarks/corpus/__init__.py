"""`python -m benchmarks.corpus`: a corpus on two nodes, with processes that are killed."""
