"""`python -m export.triton --bundle B --out REPO`: a bundle as a Triton model repository.

    REPO/models/NAME_onnx_PRECISION/      config.pbtxt, labels.txt, 1/model.onnx
    REPO/models/NAME_onnx_int8_x86/       the same, of the file for CPUs
    REPO/models/NAME_tensorrt_PRECISION/  config.pbtxt, labels.txt, 1/model.plan
    REPO/videos/NAME_video/               takes the bytes of video files: video.py
    REPO/client/                          client.py, bundle.json; video_client.py

Engines are taken as they were built; a server runs them on the kind of GPU and with the version of
TensorRT that they were built for.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from export import option_limits as limits
from export.assemble.folder import OutputError, staged
from export.triton.add_version import add_version
from export.triton.config import RepositoryModel, Serving, config_text, write_labels
from export.triton.models import FILES, onnx_precisions, repository_models
from export.triton.video import NETWORKS, OWN, VIDEOS, video_model, write_video_model
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import BundleError, os_reason
from infer.system.log import logger

log = logger("export.triton")

NUMBERS = {
    "instances": limits.Allowed(1, 1024),
    "delay": limits.Allowed(0, 60_000_000, "microseconds"),
}
"""What the numbers of the command line may be; a server refuses others when it starts, or waits."""
CLIENTS = ("client.py", "video_client.py")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m export.triton", description="Write a bundle as a Triton model repository."
    )
    add = parser.add_argument
    add("--bundle", required=True, help="folder that `python -m export` made")
    add("--out", "--output", required=True, metavar="REPO", help="folder to make")
    add("--overwrite", action="store_true", help="replace the repository that is there")
    add("--precision", nargs="+", help="which ONNX files and engines (default: all there are)")
    add("--engine", nargs="+", metavar="FILE", help="engines to serve, where several are built")
    add("--kind", choices=("auto", "gpu", "cpu"), default="auto", help="where ONNX files run "
        "(onnx.int8.x86: on the CPU)")  # fmt: skip
    add("--instances", type=int, default=1, help="copies side by side on a device (default: 1)")
    add("--delay", type=int, default=2000, metavar="US", help="microseconds that a request waits "
        "for others to share its batch (default: 2000)")  # fmt: skip
    add(
        "--network",
        choices=NETWORKS,
        default=OWN,
        help="what runs the network for video files: "
        "ONNX Runtime in their model, or the server's ONNX or TensorRT model (default: own)",
    )
    add("--add-version", action="store_true", help="add the bundle to the models of the repository "
        "that is there, as their next version")  # fmt: skip
    return parser


@command(stopped="no repository was written", extra="export", information="stdout")
def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 2 wrong use or an output that cannot be written. But for 0 nothing was written.
    """
    options = parser().parse_args(arguments)
    limits.refuse(limits.number_problems(vars(options), NUMBERS))
    bundle, out = Bundle.load(options.bundle), Path(options.out)
    if options.add_version:
        limits.refuse(_without_effect(options))
        add_version(bundle, out, engines=options.engine)
        return 0
    write_repository(
        bundle,
        out,
        precisions=options.precision,
        engines=options.engine,
        serving=Serving(f"KIND_{options.kind.upper()}", options.instances, options.delay),
        network=options.network,
        overwrite=options.overwrite,
    )
    return 0


def _without_effect(options: argparse.Namespace) -> list[str]:
    """A sentence for each option that says how to write what `--add-version` leaves as it is."""
    usual = parser()
    names = ("overwrite", "precision", "kind", "instances", "delay", "network")
    given = [name for name in names if getattr(options, name) != usual.get_default(name)]
    return [f"--{name} has no effect with --add-version: leave it out" for name in given]


def write_repository(
    bundle: Bundle,
    out: Path,
    *,
    precisions: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    serving: Serving | None = None,
    network: str = OWN,
    overwrite: bool = False,
) -> None:
    """Write the repository; it appears whole or not at all.

    Args:
        bundle: what to serve.
        out: a folder that is not there yet, or is empty; see `overwrite`.
        precisions: None: all that the bundle has as ONNX; int8 is both files, if there are two.
        engines: engines to serve; None: those of the bundle, one for each precision.
        serving: how ONNX files are served; engines run on GPUs.
        network: what runs the network for video files, of `NETWORKS`.
        overwrite: whether a repository that is there is replaced.

    Raises:
        BackendError: a precision that the bundle lacks, several engines to choose from, an engine
            of another file.
        BundleError: a file is damaged, a class name cannot stand in labels.txt.
        OutputError: `out` is in use or cannot be written.
    """
    serving = serving or Serving()
    if any("\n" in label for label in bundle.classes):
        raise BundleError("a class name has a line break; labels.txt has one name on each line")
    models = repository_models(bundle, serving, precisions=precisions, engines=engines)
    videos = video_model(
        bundle,
        models,
        network=network,
        precisions=precisions or onnx_precisions(bundle),
        serving=serving,
    )
    try:
        with staged(out, check=partial(_check, overwrite=overwrite)) as made:
            for model in models:
                _write_model(made / "models" / model.name, model, bundle)
                log.info(f"{model.backend:<12} {model.name}, batches up to {model.max_batch}")
            write_video_model(made / VIDEOS / videos.name, videos, bundle)
            log.info(f"{'python':<12} {videos.name}, batches up to {videos.max_batch}")
            (made / "client").mkdir()
            for name in CLIENTS:
                shutil.copyfile(Path(__file__).with_name(name), made / "client" / name)
            shutil.copyfile(bundle.root / BUNDLE_JSON, made / "client" / BUNDLE_JSON)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {os_reason(error)}") from None
    log.info(f"serve it:    tritonserver --model-repository {out / 'models'}")
    log.info(f"ask it:      python {out / 'client' / 'client.py'} VIDEO --model {models[0].name}")
    log.info(f"video files: tritonserver --model-repository {out / VIDEOS}")
    log.info(f"             python {out / 'client' / CLIENTS[1]} VIDEO --model {videos.name}")


def _check(out: Path, *, overwrite: bool) -> None:
    """Refuse to replace anything but an empty folder, or, if that is asked for, a repository."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        is_repository = (out / "models").is_dir() and (out / "client" / BUNDLE_JSON).is_file()
        if not (overwrite and is_repository):
            hint = "replace it with --overwrite" if is_repository else "remove it"
            raise OutputError(f"{out} is in use; choose another folder, or {hint}")


def _write_model(folder: Path, model: RepositoryModel, bundle: Bundle) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copyfile(model.file, folder / "1" / FILES[model.backend])
    write_labels(folder, bundle)
    (folder / "config.pbtxt").write_text(config_text(model, bundle), "utf-8")


if __name__ == "__main__":
    run_and_exit(main)
