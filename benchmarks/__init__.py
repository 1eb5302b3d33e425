"""Is it fast, is it right, is the gain still there: measure, test, report."""

from infer.command.missing import need

need(["tqdm", "yaml"], extra="export,report")
