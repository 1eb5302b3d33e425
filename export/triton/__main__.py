"""`python -m export.triton --bundle B --out REPO`: a bundle as a Triton model repository.

    REPO/models/NAME_onnx_PRECISION/      config.pbtxt, labels.txt, 1/model.onnx
    REPO/models/NAME_onnx_int8_x86/       the same, of the file for CPUs
    REPO/models/NAME_tensorrt_PRECISION/  config.pbtxt, labels.txt, 1/model.plan
    REPO/client/                          client.py, bundle.json

Engines are taken as they were built; a server runs them on the kind of GPU and with the version of
TensorRT that they were built for.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from export import option_limits as limits
from export.assemble.folder import OutputError, staged
from infer.bundle.bundle import BUNDLE_JSON, Bundle
from infer.bundle.engines import Stamp, built_engines, read_engine, read_stamp
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import BackendError, BundleError, os_reason
from infer.system.log import logger

log = logger("export.triton")

NUMBERS = {
    "instances": limits.Allowed(1, 1024),
    "delay": limits.Allowed(0, 60_000_000, "microseconds"),
}
"""What the numbers of the command line may be; a server refuses others when it starts, or waits."""
LABELS = "labels.txt"
CLIENT = Path(__file__).with_name("client.py")


@dataclass(frozen=True)
class Serving:
    """How a server runs a model.

    kind        KIND_AUTO: on GPUs if there are any; KIND_GPU, KIND_CPU
    instances   copies that run side by side, on each device
    delay       microseconds that a request waits for others to share its batch
    """

    kind: str = "KIND_AUTO"
    instances: int = 1
    delay: int = 2000


@dataclass(frozen=True)
class RepositoryModel:
    """One folder of the repository: a file, the backend that runs it, the batches it takes."""

    name: str
    backend: str
    file: Path
    max_batch: int
    opt_batch: int
    serving: Serving


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
    return parser


@command(stopped="no repository was written", extra="export", information="stdout")
def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 2 wrong use or an output that cannot be written. But for 0 nothing was written.
    """
    options = parser().parse_args(arguments)
    limits.refuse(limits.number_problems(vars(options), NUMBERS))
    write_repository(
        Bundle.load(options.bundle),
        Path(options.out),
        precisions=options.precision,
        engines=options.engine,
        serving=Serving(f"KIND_{options.kind.upper()}", options.instances, options.delay),
        overwrite=options.overwrite,
    )
    return 0


def write_repository(
    bundle: Bundle,
    out: Path,
    *,
    precisions: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    serving: Serving | None = None,
    overwrite: bool = False,
) -> None:
    """Write the repository; it appears whole or not at all.

    Args:
        bundle: what to serve.
        out: a folder that is not there yet, or is empty; see `overwrite`.
        precisions: None: all that the bundle has as ONNX; int8 is both files, if there are two.
        engines: engines to serve; None: those of the bundle, one for each precision.
        serving: how ONNX files are served; engines run on GPUs.
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
    files = {key: a.precision for key, a in bundle.artifacts.items() if a.format == "onnx"}
    if precisions is None:
        precisions = list(dict.fromkeys(files.values()))
    absent = [precision for precision in precisions if precision not in files.values()]
    if absent:
        raise BackendError(
            f"{bundle.root} has no ONNX file in {', '.join(absent)}; it has: {', '.join(files)}"
        )
    models = [_onnx_model(bundle, key, serving) for key in files if files[key] in precisions]
    for path, stamp in _engines(bundle, precisions, engines).values():
        models.append(_engine_model(bundle, path, stamp, serving))
    try:
        with staged(out, check=partial(_check, overwrite=overwrite)) as made:
            for model in models:
                _write_model(made / "models" / model.name, model, bundle)
                log.info(f"{model.backend:<12} {model.name}, batches up to {model.max_batch}")
            (made / "client").mkdir()
            shutil.copyfile(CLIENT, made / "client" / "client.py")
            shutil.copyfile(bundle.root / BUNDLE_JSON, made / "client" / BUNDLE_JSON)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {os_reason(error)}") from None
    log.info(f"serve it:    tritonserver --model-repository {out / 'models'}")
    log.info(f"ask it:      python {out / 'client' / 'client.py'} VIDEO --model {models[0].name}")


def config_text(model: RepositoryModel, bundle: Bundle) -> str:
    """A model's config.pbtxt. Dimensions leave the batch out; one clip and a full batch warm up."""
    clip = ", ".join(map(str, bundle.spec.clip_shape))
    entry, output = json.dumps(bundle.input_name), json.dumps(bundle.output_name)
    warmups = "".join(
        f"""
  {{
    name: "{size} clips"
    batch_size: {size}
    inputs {{
      key: {entry}
      value {{ data_type: TYPE_UINT8 dims: [ {clip} ] random_data: true }}
    }}
  }}"""
        + ("," if size != model.max_batch else "")
        for size in sorted({1, model.max_batch})
    )
    return f"""\
name: "{model.name}"
backend: "{model.backend}"
max_batch_size: {model.max_batch}
input [ {{ name: {entry} data_type: TYPE_UINT8 dims: [ {clip} ] }} ]
output [
  {{
    name: {output}
    data_type: TYPE_FP32
    dims: [ {len(bundle.classes)} ]
    label_filename: "{LABELS}"
  }}
]
dynamic_batching {{
  preferred_batch_size: [ {model.opt_batch} ]
  max_queue_delay_microseconds: {model.serving.delay}
}}
instance_group [ {{ count: {model.serving.instances} kind: {model.serving.kind} }} ]
model_warmup [{warmups}
]
"""


def _check(out: Path, *, overwrite: bool) -> None:
    """Refuse to replace anything but an empty folder, or, if that is asked for, a repository."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        is_repository = (out / "models").is_dir() and (out / "client" / BUNDLE_JSON).is_file()
        if not (overwrite and is_repository):
            hint = "replace it with --overwrite" if is_repository else "remove it"
            raise OutputError(f"{out} is in use; choose another folder, or {hint}")


def _name(bundle: Bundle, *parts: str) -> str:
    return re.sub(r"[^\w.-]+", "_", "_".join([bundle.name, *parts]), flags=re.ASCII)


def _onnx_model(bundle: Bundle, key: str, serving: Serving) -> RepositoryModel:
    return RepositoryModel(
        name=_name(bundle, *key.split(".")),
        backend="onnxruntime",
        file=bundle.artifact(key).paths[0],
        max_batch=bundle.max_batch,
        opt_batch=min(8, bundle.max_batch),
        # Made for the kernels of processors; no GPU has any for it.
        serving=replace(serving, kind="KIND_CPU") if key.endswith(".x86") else serving,
    )


def _engines(
    bundle: Bundle, precisions: Sequence[str], named: Sequence[str] | None
) -> dict[str, tuple[Path, Stamp]]:
    """The engine of each precision that has one: those named, or the only one built."""
    found: dict[str, tuple[Path, Stamp]] = {}
    for path in built_engines(bundle) if named is None else named:
        path = Path(path)
        try:
            stamp = read_stamp(path)
            why = _unfit(bundle, precisions, stamp)
        except BundleError as error:
            why = str(error)
        if why and named is not None:
            raise BackendError(f"{path} cannot be served: {why}")
        if why:
            log.info(f"left out     {path.name}: {why}")
        elif stamp.precision in found:
            both = f"{found[stamp.precision][0].name} and {path.name}"
            raise BackendError(f"several {stamp.precision} engines, {both}: name one with --engine")
        else:
            found[stamp.precision] = (path, stamp)
    return found


def _unfit(bundle: Bundle, precisions: Sequence[str], stamp: Stamp) -> str | None:
    """Why an engine cannot be served beside those ONNX files; None if it can."""
    if stamp.precision not in precisions:
        return f"its precision is {stamp.precision}, asked for: {', '.join(precisions)}"
    made_of = bundle.artifacts.get(f"onnx.{stamp.precision}")
    if made_of is None or stamp.onnx_sha256 != made_of.files[0].sha256:
        return f"it was built from another {stamp.onnx_file}"
    if stamp.profile.min_batch > 1:
        return f"it takes no fewer than {stamp.profile.min_batch} clips, a request may be one"
    return None


def _engine_model(bundle: Bundle, path: Path, stamp: Stamp, serving: Serving) -> RepositoryModel:
    read_engine(path, stamp)  # only what was built is served
    log.info(
        f"engine       needs a server with {stamp.machine.gpu}, TensorRT {stamp.machine.tensorrt}"
    )
    return RepositoryModel(
        name=_name(bundle, "tensorrt", stamp.precision),
        backend="tensorrt",
        file=path,
        max_batch=stamp.profile.max_batch,
        opt_batch=stamp.profile.opt_batch,
        serving=replace(serving, kind="KIND_GPU"),
    )


def _write_model(folder: Path, model: RepositoryModel, bundle: Bundle) -> None:
    (folder / "1").mkdir(parents=True)
    file = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}[model.backend]
    shutil.copyfile(model.file, folder / "1" / file)
    (folder / LABELS).write_text("".join(f"{label}\n" for label in bundle.classes), "utf-8")
    (folder / "config.pbtxt").write_text(config_text(model, bundle))


if __name__ == "__main__":
    run_and_exit(main)
