"""The gate's result file as pages to read."""
