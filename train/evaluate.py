"""`python -m train.evaluate --checkpoint RUN --data LIST`: a network on any list, clip by clip.

A checkpoint is evaluated with the test pipeline of its config, a bundle as it is deployed.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infer.command.option_values import whole
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import ClipDuetError
from infer.system.files import check_writable, sha256_of
from infer.system.log import logger
from infer.system.terminal import printable
from train.config.list_format import FORMATS
from train.config.options import add_override, add_trust
from train.process import share_interpreter

if TYPE_CHECKING:
    from infer.clips.spec import ClipSpec
    from train.config.load import Config

log = logger("train.evaluate")

BUNDLE = "bundle.json"


@dataclass(frozen=True)
class Network:
    """What is evaluated.

    Attributes:
        names: of its classes.
        spec: how a video becomes its clips.
        opened: gives the network as a function of clips, and closes it afterwards.
        batch: clips at a time, at most.
        origin: what it is, for `results.json`.
    """

    names: tuple[str, ...]
    spec: ClipSpec
    opened: Callable[[], Any]
    batch: int
    origin: dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m train.evaluate",
        description="Evaluate a checkpoint or a bundle on a list of labelled clips.",
        epilog="Exit status: 0 done, 1 some clips could not be read, 2 wrong use.",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, type=Path, metavar="PATH",
        help="a run's folder, a checkpoint, or a bundle's folder")  # fmt: skip
    add("-c", "--config", help="config of the checkpoint (default: that of its run)")
    add_override(parser)
    add("--data", type=Path, metavar="LIST", help="list of labelled clips (default: the config's)")
    add("--root", type=Path,
        help="folder that the list's paths start from (default: the config's; of a bundle: the "
        "current folder)")  # fmt: skip
    add("--format", choices=FORMATS, help="format of the list (default: the config's)")
    add("--suffix", help="file suffix or name pattern of frames (default: the config's)")
    add("--split", choices=("test", "valid"), default="test",
        help="whose list and pipeline of the config (default: %(default)s)")  # fmt: skip
    add("--views", type=whole(1, 1024), help="clips of a video, at other times")
    add("--crops", type=int, choices=(1, 3), help="squares of a frame")
    add("--backend", default="onnxruntime", help="of a bundle (default: %(default)s)")
    add("--precision", default="fp32", help="of a bundle (default: %(default)s)")
    add("--threads", type=whole(1, 1024), help="of a bundle's network")
    add("--batch-size", type=whole(1, 4096), help="clips at a time")
    add("--workers", type=whole(1, 256), default=2, help="threads that decode")
    add("--skip-missing", action="store_true", help="leave out listed files that do not exist")
    add("--out", "--output", type=Path, default=Path("reports/evaluation"), metavar="FOLDER",
        help="what is written goes here (default: %(default)s)")  # fmt: skip
    add_trust(parser)
    return parser


@command(stopped="nothing was written", extra="train")
def main(arguments: list[str] | None = None) -> int:
    """Run the command; see the module's docstring.

    Returns:
        0 done, 1 some clips could not be read, 2 a mistake in options, list or config.
    """
    options = parser().parse_args(arguments)
    check_writable(options.out / "results.json")
    share_interpreter()
    bundle = (options.checkpoint / BUNDLE).is_file()
    network, files = _bundle(options) if bundle else _checkpoint(options)
    from train.data.dataset import ClipDataset
    from train.data.lists import read_list
    from train.evaluation.evaluate import evaluate
    from train.evaluation.report import write_report

    missing: list[str] = []
    samples = read_list(
        files["list"],
        root=files["root"],
        format=files["format"],
        num_classes=len(network.names),
        suffix=files["suffix"],
        missing=missing if options.skip_missing else None,
    )
    if missing:
        count = len(missing) + len(samples)
        log.warning(f"{len(missing)} of {count} listed clips do not exist and are left out")
    frames = files["suffix"] if files["format"] == "FrameDataset" else ""
    dataset = ClipDataset(samples, network.spec, train=False, suffix=frames, missing=missing)
    with network.opened() as run:
        result = evaluate(
            run, dataset, batch_size=network.batch, workers=options.workers, progress="evaluated"
        )
    origin = {
        "format": 1,
        "command": shlex.join(["python", "-m", "train.evaluate", *(arguments or sys.argv[1:])]),
        **network.origin,
        "list": str(files["list"]),
        "missing": len(missing),
        "spec": network.spec.to_dict(),
    }
    lines = write_report(options.out, result, dataset, network.names, origin)
    print("\n".join(printable(line) for line in lines))
    print(f"written: {options.out / 'results.json'} and what is beside it")
    for path, reason in result.failed:
        log.warning(f"could not be read, and counts as wrong: {path}: {reason}")
    return 1 if result.failed else 0


def _with_views(spec: ClipSpec, options: argparse.Namespace) -> ClipSpec:
    sampling, preprocess = spec.sampling, spec.preprocess
    if options.views is not None:
        sampling = dataclasses.replace(sampling, views=options.views)
    if options.crops is not None:
        preprocess = dataclasses.replace(preprocess, crops=options.crops)
    return dataclasses.replace(spec, sampling=sampling, preprocess=preprocess)


def _bundle(options: argparse.Namespace) -> tuple[Network, dict[str, Any]]:
    """A bundle as it is deployed, and the list.

    Raises:
        ClipDuetError: options are for checkpoints only, or the bundle cannot be used.
    """
    from infer.bundle.bundle import Bundle
    from infer.runtimes.open import open_runtime

    if options.config or options.override:
        raise ClipDuetError("a bundle has no config: leave -c and -o out")
    if options.data is None:
        raise ClipDuetError("a bundle has no list: name one with --data")
    bundle = Bundle.load(options.checkpoint)

    @contextmanager
    def opened() -> Iterator[Any]:
        with open_runtime(
            bundle,
            backend=options.backend,
            precision=options.precision,
            threads=options.threads,
            spinning=False,
        ) as runtime:
            yield runtime.run

    network = Network(
        names=bundle.classes,
        spec=_with_views(bundle.spec, options),
        opened=opened,
        batch=min(options.batch_size or bundle.max_batch, bundle.max_batch),
        origin={
            "bundle": str(options.checkpoint),
            "backend": options.backend,
            "precision": options.precision,
        },
    )
    return network, {
        "list": options.data,
        "root": options.root,
        "format": options.format or "VideoDataset",
        "suffix": options.suffix or "",
    }


def _checkpoint(options: argparse.Namespace) -> tuple[Network, dict[str, Any]]:
    """The Student of a checkpoint, in float32, and the list.

    Raises:
        ClipDuetError: the checkpoint or its config cannot be used, or there is no list.
    """
    from train.config.load import checkpoint_file, load_config, run_config

    if options.threads is not None:
        raise ClipDuetError("--threads is for bundles: leave it out (OMP_NUM_THREADS)")
    file = checkpoint_file(options.checkpoint)
    cfg = load_config(
        options.config or run_config(file),
        options.override,
        trust=options.trust,
        stored=not options.config,
    )
    files = cfg.lists[options.split]
    if files is None and options.data is None:
        raise ClipDuetError(f"{cfg.source}: DATASET has no {options.split} list; name one: --data")
    files = files or cfg.lists["valid"]
    assert files is not None
    spec = _with_views(cfg.specs[options.split], options)
    network = Network(
        names=cfg.deployed_names,
        spec=spec,
        opened=partial(_opened, cfg, file, spec),
        batch=options.batch_size or cfg.DATASET.test_batch_size or cfg.DATASET.batch_size,
        origin={
            "checkpoint": str(file),
            "sha256": sha256_of(file),
            "config": cfg.source,
            "config_sha256": cfg.sha256(),
        },
    )
    return network, {
        "list": options.data or files.list_file,
        "root": options.root or files.root,
        "format": options.format or files.format,
        "suffix": files.suffix if options.suffix is None else options.suffix,
    }


@contextmanager
def _opened(cfg: Config, file: Path, spec: ClipSpec) -> Iterator[Any]:
    from train.paddle_import import import_paddle

    import_paddle()
    from train.stages.pseudo_labels import student_of

    yield student_of(cfg, file, spec)


if __name__ == "__main__":
    run_and_exit(main)
