"""Paddle Inference on the CPU."""
