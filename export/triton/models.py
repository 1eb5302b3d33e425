"""Which models a bundle gives: its ONNX files, and the engines that were built of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from export.triton.config import RepositoryModel, Serving
from infer.bundle.bundle import Bundle
from infer.bundle.engines import Stamp, built_engines, read_engine, read_stamp
from infer.system.errors import BackendError, BundleError
from infer.system.log import logger

log = logger("export.triton")

FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}
"""What a server's backend looks for in the folder of a version."""


def onnx_precisions(bundle: Bundle) -> list[str]:
    """Those that the bundle has as ONNX, in its order."""
    found = [one.precision for one in bundle.artifacts.values() if one.format == "onnx"]
    return list(dict.fromkeys(found))


def repository_models(
    bundle: Bundle,
    serving: Serving,
    *,
    precisions: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
) -> list[RepositoryModel]:
    """The models of a bundle; arguments and errors as of `write_repository`."""
    files = {key: a.precision for key, a in bundle.artifacts.items() if a.format == "onnx"}
    if precisions is None:
        precisions = onnx_precisions(bundle)
    absent = [precision for precision in precisions if precision not in files.values()]
    if absent or not files:
        wanted = f"ONNX file in {', '.join(absent)}" if absent else "ONNX file"
        raise BackendError(f"{bundle.root} has no {wanted}; it has: {', '.join(bundle.artifacts)}")
    models = [_onnx_model(bundle, key, serving) for key in files if files[key] in precisions]
    for path, stamp in _engines(bundle, precisions, engines).values():
        models.append(_engine_model(bundle, path, stamp, serving))
    return models


def model_name(bundle: Bundle, *parts: str) -> str:
    """The name of a folder, which stands in addresses."""
    return re.sub(r"[^\w.-]+", "_", "_".join([bundle.name, *parts]), flags=re.ASCII)


def _onnx_model(bundle: Bundle, key: str, serving: Serving) -> RepositoryModel:
    return RepositoryModel(
        name=model_name(bundle, *key.split(".")),
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
        name=model_name(bundle, "tensorrt", stamp.precision),
        backend="tensorrt",
        file=path,
        max_batch=stamp.profile.max_batch,
        opt_batch=stamp.profile.opt_batch,
        serving=replace(serving, kind="KIND_GPU"),
    )
