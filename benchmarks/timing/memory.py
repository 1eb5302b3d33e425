"""How much memory a deployment takes: the growth of a fresh process that opens and runs it.

`python -m benchmarks.timing.memory --bundle DIR --cell BACKEND:PRECISION` prints one line of JSON.
The peak of the resident memory is read when all that reads and prepares videos is loaded and a clip
is ready, and again after the runtime was imported, opened and run on that clip. The difference
holds the runtime's libraries, the network and its largest activations; in a process of its own,
since a peak never falls and memory that another runtime gave back may be used again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.hardware import peak_bytes

RUNS = 3
TIMEOUT = 600


def measure_memory(bundle: Path, cell: str, *, threads: int) -> dict[str, Any]:
    """{"cell", "bytes", "before"}, or {"cell", "bytes": None, "reason"} where it does not work.

    Measured at one clip at a time in a process that this function starts and waits for.
    """
    command = [sys.executable, "-m", "benchmarks.timing.memory", "--bundle", str(bundle.resolve())]
    command += ["--cell", cell, "--threads", str(threads)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=Path(__file__).resolve().parents[2],
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"cell": cell, "bytes": None, "reason": f"took more than {TIMEOUT} s"}
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines()
        return {"cell": cell, "bytes": None, "reason": lines[-1] if lines else "no answer"}
    return {"cell": cell, **found}


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """The process that is measured; 0 done, 2 a deployment that does not run."""
    parser = Parser(prog="python -m benchmarks.timing.memory", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle folder")
    parser.add_argument("--cell", required=True, metavar="BACKEND:PRECISION", help="deployment")
    parser.add_argument("--threads", type=int, help="threads of the runtime (default: all cores)")
    options = parser.parse_args(arguments)

    import numpy as np

    import infer.pipeline.predictions  # noqa: F401  what a process that reads videos holds anyway
    from infer.bundle.bundle import Bundle
    from infer.runtimes.open import open_runtime

    backend, _, precision = options.cell.partition(":")
    bundle = Bundle.load(options.bundle)
    clips = np.full((1, *bundle.spec.clip_shape), 128, np.uint8)
    before = peak_bytes()
    with open_runtime(
        bundle, backend=backend, precision=precision, threads=options.threads
    ) as runtime:
        for _ in range(RUNS):
            runtime.run(clips)
        after = peak_bytes()
    if before is None or after is None:
        print(json.dumps({"bytes": None, "reason": "this system does not tell a process's peak"}))
    else:
        print(json.dumps({"bytes": after - before, "before": before}))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
