"""`python -m export.qat`: let a trained network get used to 8 bits (quantisation-aware training).

For a network that loses more by `export.int8.quantize` than it may. The fused fp32 network is
quantised as for export; then the Q/DQ graph itself is trained for a few epochs
(`export.qat.graph_net`), with the fp32 network as its teacher: it learns to answer as it did
before, not the labels anew (Hinton et al., 2015, with the network's own past for a teacher). With
`QAT.loss: run` it goes on learning as in the run, with the run's other networks
(`export.qat.mutual`). Each kind of activations is a training of its own, since their roundings lie
elsewhere.

`python -m export --qat FOLDER` puts the result into a bundle, in place of what post-training
quantisation would give.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export import option_limits as limits
from export.output_option import add_output, parse_options
from export.qat.trained import (
    FORMAT,
    FP32,
    KINDS,
    RESULT,
    START,
    START_GRAPH,
    STARTED,
    TRAINED,
    QatError,
    read_record,
    result,
)
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit, told_when_stopped
from infer.system.files import replacing, sha256_of, write_text
from infer.system.log import logger
from train.config.options import add_override, add_plugins, add_trust, text_override
from train.config.run_folder import LATEST
from train.paddle_import import import_paddle

log = logger("export.qat")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export.qat",
        description="Fine-tune the Student of a checkpoint with 8-bit rounding in it; `python -m "
        "export --qat` makes a bundle of the result.",
    )
    add = parser.add_argument
    add(
        "--checkpoint",
        required=True,
        help="a run's folder (its best), or best.pdparams or latest.ckpt in it",
    )
    add("-c", "--config", help="the run's config (default: config.yaml beside the checkpoint)")
    add("--qat", required=True, metavar="FILE", help="settings of the fine-tune, read on top of "
        "the config, such as configs/motions_qat.yaml")  # fmt: skip
    add_output(parser, metavar="FOLDER", help="folder of the fine-tune; required")
    add_override(parser)
    add_plugins(parser, "such as those that the run's config names, which are not loaded otherwise")
    add("--activations", choices=(*KINDS, "both"), default="both", help="symmetric int8 for every "
        "engine, uint8 for x86 CPUs (default: both)")  # fmt: skip
    add("--resume", action="store_true", help="go on with the fine-tune in the folder, if any")
    add_trust(parser)
    return parser


@command(stopped="nothing was begun", extra="export", information="stdout")
def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 1 the loss diverged or a conversion failed, 2 a mistake in config, checkpoint or
        options.
    """
    options = parse_options(parser(), arguments)
    limits.refuse(limits.folder_problems("out", options.out))
    from train.config.load import checkpoint_file, load_config, run_config

    checkpoint = checkpoint_file(options.checkpoint)
    config = options.config or run_config(checkpoint)
    output = text_override("output_dir", options.out)
    cfg = load_config(
        config,
        [*options.override, output],
        over=options.qat,
        trust=options.trust,
        plugins=options.plugins,
        stored=not options.config,
    )
    import_paddle()
    from train.engine.stopping import stop_requests

    kinds = KINDS if options.activations == "both" else (options.activations,)
    with told_when_stopped(lambda: _left_in(Path(cfg.output_dir))):
        # There is nothing to finish before the training, so a signal ends that at once.
        start = begin(cfg, checkpoint, resume=options.resume)
        with stop_requests() as should_stop:
            record = fine_tune(
                cfg,
                checkpoint,
                activations=kinds,
                resume=options.resume,
                start=start,
                should_stop=should_stop,
            )
    for kind in kinds:
        one = record["trained"][kind]
        print(
            f"{options.out}/{kind}: {one['epochs']} epochs, {one['steps']} steps, "
            f"{one['seconds']:.0f} s; validation top-1 {one['validation_top1']:.4f}"
        )
    return 0


def _left_in(folder: Path) -> str:
    """How a fine-tune goes on that was stopped."""
    if any((folder / kind / LATEST).exists() for kind in KINDS):
        return "--resume goes on from the last checkpoint"
    if (folder / START).exists():
        return "before the first checkpoint: --resume goes on from the graphs to start from"
    return "before the first checkpoint: the same command begins again"


def fine_tune(
    cfg: Any,
    checkpoint: Path,
    *,
    activations: Sequence[str] = KINDS,
    resume: bool = False,
    start: Mapping[str, Any] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train the Q/DQ graphs of a checkpoint's Student; everything lies in `cfg.output_dir`.

    Args:
        cfg: the run's config with the settings of the fine-tune on top.
        checkpoint: the run's weights.
        activations: kinds of Q/DQ graphs, see `export.int8.placement`.
        resume: go on where an earlier call was stopped.
        start: what `begin` returned; None: it is called here.
        should_stop: looked at after every step of the training.

    Returns:
        What `qat.json` holds: where it started, and what became of each kind.

    Raises:
        KeyboardInterrupt: `should_stop` said so; what was done is kept.
        QatError: the folder holds another fine-tune, or the settings do not fit.
    """
    from export.qat.fine_tune import train_graph
    from train.data.balance import epoch_length, labels_of
    from train.data.loader import batches_in_epoch
    from train.data.splits import training_datasets
    from train.engine.stage_progress import StageProgress

    folder = Path(cfg.output_dir)
    start = start or begin(cfg, checkpoint, resume=resume)
    datasets = training_datasets(cfg)
    record = {"format": FORMAT, **start, "trained": result(folder)["trained"]}
    batch = cfg.DATASET.batch_size
    if cfg.GRADIENT_ACCUMULATION is not None:
        batch = cfg.GRADIENT_ACCUMULATION.global_batch_size
    clips = epoch_length(labels_of(datasets[0].samples), cfg.DATASET.train.balance)
    steps = batches_in_epoch(clips, batch_size=batch, drop_last=True) * cfg.epochs
    for number, kind in enumerate(activations, start=1):
        later = steps * (len(activations) - number)
        name = f"fine-tuning with {kind} activations"
        found = train_graph(
            cfg, folder / kind, datasets, fp32=folder / FP32, checkpoint=checkpoint, resume=resume,
            should_stop=should_stop, stage=StageProgress(number, len(activations), name, later),
        )  # fmt: skip
        file = folder / kind / TRAINED
        record["trained"][kind] = {**found, "file": f"{kind}/{TRAINED}", "sha256": sha256_of(file)}
        write_text(folder / RESULT, json.dumps(record, indent=1) + "\n")
    return record


def begin(cfg: Any, checkpoint: Path, *, resume: bool) -> dict[str, Any]:
    """The fp32 graph and the Q/DQ graphs to start from; made once, then found again.

    Args:
        cfg: see `fine_tune`.
        checkpoint: the run's weights.
        resume: go on where an earlier call was stopped.

    Returns:
        What `start.json` holds.

    Raises:
        QatError: the folder holds another fine-tune, or the settings do not fit.
    """
    from export.clips import selection
    from export.qat.mutual import partner_weights
    from export.qat.settings import check_settings, qat_settings
    from train.checkpoints.checkpoint import load_file
    from train.config.schema.experiment import Qat

    check_settings(cfg)
    settings = qat_settings(cfg)
    folder = Path(cfg.output_dir)
    wanted = {
        "checkpoint": str(checkpoint),
        "checkpoint_sha256": sha256_of(checkpoint) if checkpoint.is_file() else None,
        "calibration_clips": settings.calibration_clips,
        "calibrator": settings.calibrator,
        "loss": settings.loss,
    }
    if (folder / START).is_file():
        if not resume:
            raise QatError(
                f"{folder} holds a fine-tune already: add --resume to go on with it, or choose "
                "another --output"
            )
        # Before there was another loss, none was named.
        stored = {"loss": Qat().loss, **read_record(folder / START, STARTED)}
        changed = [key for key in wanted if key != "checkpoint" and stored[key] != wanted[key]]
        if changed:
            raise QatError(
                f"{folder} holds a fine-tune that started elsewhere ({', '.join(changed)} differ); "
                "choose another --output"
            )
        return stored
    if settings.loss == "run":
        partner_weights(cfg, load_file(checkpoint, trust=cfg.trust), source=checkpoint)
    calibration = selection.calibration(cfg, count=settings.calibration_clips)
    _write_graphs(cfg, checkpoint, folder, calibration.clips, settings.calibrator)
    start = {**wanted, "calibration": calibration.to_dict()}
    write_text(folder / START, json.dumps(start, indent=1) + "\n")
    log.info(f"start     {checkpoint}, ranges of {len(calibration.clips)} training clips")
    return start


def _write_graphs(cfg: Any, checkpoint: Path, folder: Path, clips: Any, calibrator: Any) -> None:
    import onnx

    from export.int8.quantize import calibrate, quantize
    from export.network.convert import save_paddle, to_onnx
    from export.network.deploy import DeployNet
    from export.network.fuse import fuse
    from export.network.strip import strip
    from infer import __version__
    from infer.bundle.onnx_metadata import onnx_metadata
    from train.checkpoints.checkpoint import load_file, model_weights

    content = load_file(checkpoint, trust=cfg.trust)
    stripped = strip(model_weights(content, source=checkpoint), cfg.model, source=checkpoint)
    net = DeployNet(fuse(stripped.network), cfg.specs["valid"])
    with tempfile.TemporaryDirectory() as scratch:
        program, weights = save_paddle(net, Path(scratch))
        model = to_onnx(
            program,
            weights,
            Path(scratch) / FP32,
            net.tensor_names(),
            metadata=onnx_metadata(cfg.deployed_names, net.spec, version=__version__),
        )
        calibrated = calibrate(Path(scratch) / FP32, clips, calibrator=calibrator)
    graphs: dict[Path, Any] = {folder / FP32: model}
    for kind in KINDS:
        graphs[folder / kind / START_GRAPH] = quantize(calibrated, activations=kind)
    for path, graph in graphs.items():
        with replacing(path) as file:
            onnx.save(graph, str(file))


if __name__ == "__main__":
    run_and_exit(main)
