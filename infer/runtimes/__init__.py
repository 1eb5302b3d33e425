"""Runtimes: one way to run a bundle, whatever runs it. `infer.runtimes.open` opens one.

A folder for each package that runs networks: `backend.py` describes it, `runtime.py` runs it.
"""
