"""Runtimes: one way to run a bundle, whatever runs it. `infer.runtimes.open` opens one."""
