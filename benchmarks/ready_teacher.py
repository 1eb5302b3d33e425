"""`python -m benchmarks.ready_teacher RUN`: put a trained network where configs look for it.

A pair whose teacher is there already trains at once: `ready` in the config's BEFORE block names
the file. `pretrained: embedded` starts from such files: `--role Student --out
configs/pretrained/motions_student.pdparams` takes one network of a pair. Beside a file a JSON says
where it comes from: its SHA-256, the run's settings and seed, the clips it learnt from, its
validation top-1, time, processor and versions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import add_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, header
from benchmarks.training.runs import CHECKPOINTS
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.files import replacing, sha256_of, write_text

FORMAT, FORMAT_VERSION = "clipduet-ready-teacher", 1
TEACHER = Path("configs/pretrained/motions_teacher.pdparams")


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.ready_teacher",
        description="Copy the best weights of a finished run to where configs take them from, and "
        "say in a JSON beside them where they come from.",
    )
    parser.add_argument("run", type=Path, help="folder of a finished training")
    parser.add_argument("--role", help="only this network of a run of several")
    add_out(parser, str(TEACHER))
    options = parser.parse_args(arguments)
    about = origin(options.run)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    best = options.run / CHECKPOINTS["best"]
    if options.role is None:
        with replacing(options.out) as partial:
            partial.write_bytes(best.read_bytes())
    else:
        from train.checkpoints.checkpoint import save_file
        from train.checkpoints.teachers import network_weights

        save_file(options.out, network_weights(best, options.role)[1])
        about |= {"sha256": sha256_of(options.out), "role": options.role}
    write_text(options.out.with_suffix(".json"), dump({**header(FORMAT, FORMAT_VERSION), **about}))
    print(f"written: {options.out}, validation top-1 {about['validation_top1']:.4f}")
    return 0


def origin(run: Path) -> dict[str, Any]:
    """Where the best weights of a run come from; JSON-ready.

    Raises:
        BenchmarkError: the run is not there or not finished.
    """
    from train.checkpoints.checkpoint import load_file
    from train.config.load import load_config, run_config

    best, latest = run / CHECKPOINTS["best"], run / CHECKPOINTS["last"]
    if not (best.is_file() and latest.is_file()):
        raise BenchmarkError(f"{run} holds no training: {best.name} or {latest.name} is not there")
    told = json.loads(best.with_suffix(".json").read_text(encoding="utf-8"))
    progress = load_file(latest)["progress"]
    epochs = load_config(run_config(best), stored=True).epochs
    if progress["epoch"] < epochs:
        raise BenchmarkError(
            f"{run} has trained {progress['epoch']} of {epochs} epochs; go on with it "
            f"first: python -m train -c {told['config']} --output {run} --resume"
        )
    return {
        "sha256": sha256_of(best),
        "config": told["config"],
        "config_sha256": told["config_sha256"],
        "seed": told["seed"],
        "epochs": epochs,
        "best_epoch": told["epoch"],
        "validation_top1": told["top1"],
        "clips": progress["clips"],
        "seconds": float(progress["seconds"]),
        "machine": machine.machine(),
    }


if __name__ == "__main__":
    run_and_exit(main)
