"""Distillation methods side by side."""
