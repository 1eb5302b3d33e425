"""Prove that what is shipped computes what was trained."""
