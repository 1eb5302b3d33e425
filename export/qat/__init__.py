"""Quantisation-aware training of an exported graph."""
