"""`python -m benchmarks.service`: the service under load, with broken and hostile requests."""
