"""`python -m benchmarks.study_methods`: the former name of `python -m benchmarks.methods`."""

from __future__ import annotations

from benchmarks.methods.__main__ import main
from infer.command.runner import run_and_exit

if __name__ == "__main__":
    run_and_exit(main)
