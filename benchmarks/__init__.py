"""Is it fast, is it right, is the gain still there: measure, test, report."""

from infer.command.missing import need

EXTRA = "export,report"
"""Of this project: brings the packages that benchmarks need."""

need(["tqdm", "yaml"], extra=EXTRA)
