"""INT8 by static quantisation: a Q/DQ ONNX file that every runtime compiles the same way.

Weights are int8, symmetric, one scale per output channel. Activations are 8 bits with one scale
per tensor, whose range comes from training clips (calibration): evaluation clips would leak into
the result. The pixels' normalisation, the squeeze-excitation and attention gates and the
classifier stay in float: together under one percent of the work, and where 8 bits hurt most.

On an x86 CPU without VNNI, ONNX Runtime adds products of uint8 activations and int8 weights in
16 bits, which may saturate; ``reduce_range`` then keeps weights to 7 bits. CPUs with VNNI (Intel
from Cascade Lake, AMD from Zen 4) add in 32 bits and need no such care.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from export.convert import INPUT
from export.quiet import captured
from infer.errors import ClipDuetError, VideoError
from train.data.dataset import ClipDataset
from train.data.lists import Sample

if TYPE_CHECKING:
    import onnx

Activations = Literal["uint8", "int8"]
Calibrator = Literal["minmax", "entropy", "percentile"]

KEEP_FLOAT: tuple[str, ...] = (
    r"pixels",
    r"\.se\.",
    r"global_attention",
    r"(backbone|head)\.fc",
)
"""Patterns (``re.search``) of node names that are not quantised."""


class CalibrationError(ClipDuetError):
    """No clips to calibrate on, or clips that must not be used for it."""


@dataclass(frozen=True)
class Settings:
    """How to quantise.

    Attributes:
        activations: ``uint8`` with a zero point, which ONNX Runtime and OpenVINO like best on x86
            and which spends all 256 steps on the outputs of a ReLU; or symmetric ``int8``, the
            only kind that TensorRT takes.
        calibrator: how a range follows from the values seen. ``percentile`` leaves out one value
            in 100,000; the extremes of ``minmax`` make every step coarser.
        reduce_range: 7-bit weights, for x86 CPUs without VNNI.
        keep_float: patterns of node names that stay in float32.
    """

    activations: Activations = "uint8"
    calibrator: Calibrator = "percentile"
    reduce_range: bool = False
    keep_float: tuple[str, ...] = KEEP_FLOAT


@dataclass(frozen=True)
class Calibration:
    """The clips that ranges are taken from.

    Attributes:
        list_file: where they were listed.
        list_sha256: checksum of that file.
        clips: uint8 ``[n, T, H, W, 3]``, evaluation sampling of the chosen videos.
        chosen: lines ``path label`` of the videos, in the order of ``clips``.
        failed: videos that were drawn and could not be read; others took their place.
    """

    list_file: Path
    list_sha256: str
    clips: np.ndarray
    chosen: tuple[str, ...]
    failed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``bundle.json`` remembers of it."""
        text = "".join(f"{line}\n" for line in self.chosen)
        return {
            "list": str(self.list_file),
            "list_sha256": self.list_sha256,
            "clips": len(self.clips),
            "clips_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "failed": len(self.failed),
        }


def draw_calibration(
    dataset: ClipDataset,
    *,
    list_file: Path,
    count: int,
    seed: int,
    held_out: Iterable[Sample],
) -> Calibration:
    """Choose and read ``count`` training clips, the same for the same seed.

    Args:
        dataset: the training list in evaluation mode: deployment's frames and pixels.
        list_file: the training list.
        count: clips wanted; fewer are taken where the list is shorter.
        seed: draws the clips.
        held_out: samples of the validation and test lists.

    Raises:
        CalibrationError: the training list shares videos with the held-out ones, or none of its
            videos can be read.
    """
    held = {sample.path.resolve() for sample in held_out}
    shared = [str(s.path) for s in dataset.samples if s.path.resolve() in held]
    if shared:
        shown = "".join(f"\n  {path}" for path in shared[:5])
        raise CalibrationError(
            f"{len(shared)} videos of {list_file} are in the validation or test list as well, so "
            "accuracy measured there would not be that of unseen clips; take them out of one of "
            f"the lists:{shown}"
        )
    clips: list[np.ndarray] = []
    chosen: list[str] = []
    failed: list[str] = []
    for index in np.random.default_rng(seed).permutation(len(dataset)).tolist():
        if len(clips) >= count:
            break
        sample = dataset.samples[index]
        try:
            views, _ = dataset.read(index, rng=None)
        except VideoError as error:
            failed.append(str(error))
            continue
        clips.append(views[0])
        chosen.append(f"{sample.path} {sample.label}")
    if not clips:
        reason = failed[0] if failed else "it is empty"
        raise CalibrationError(f"no clip of {list_file} can be used for calibration: {reason}")
    digest = hashlib.sha256(list_file.read_bytes()).hexdigest()
    return Calibration(list_file, digest, np.stack(clips), tuple(chosen), tuple(failed))


def quantize(
    source: Path, target: Path, clips: np.ndarray, settings: Settings | None = None
) -> onnx.ModelProto:
    """Write the Q/DQ version of an fp32 ONNX file.

    Args:
        source: ``model.fp32.onnx`` of :func:`export.convert.to_onnx`.
        target: the file to write.
        clips: uint8 ``[n, T, H, W, 3]``, at least one.
        settings: None for the defaults.

    Raises:
        ConversionError: ONNX Runtime's quantiser failed.
    """
    settings = settings or Settings()
    with captured("Quantising to INT8"):
        import onnx
        from onnxruntime import quantization as ort
        from onnxruntime.quantization.shape_inference import quant_pre_process

        prepared = target.with_name(target.name + ".prepared")
        try:
            # Shapes of every tensor; the graph itself was simplified before.
            quant_pre_process(str(source), str(prepared), skip_optimization=True)
            symmetric = settings.activations == "int8"
            ort.quantize_static(
                str(prepared),
                str(target),
                _Reader(clips),
                quant_format=ort.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=settings.reduce_range,
                activation_type=ort.QuantType.QInt8 if symmetric else ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                nodes_to_exclude=kept_in_float(onnx.load(str(source)), settings.keep_float),
                calibrate_method={
                    "minmax": ort.CalibrationMethod.MinMax,
                    "entropy": ort.CalibrationMethod.Entropy,
                    "percentile": ort.CalibrationMethod.Percentile,
                }[settings.calibrator],
                extra_options={
                    "ActivationSymmetric": symmetric,
                    "WeightSymmetric": True,
                    # For all calibrators: forget a clip's activations before the next one runs.
                    "CalibStridedMinMax": 1,
                },
            )
        finally:
            prepared.unlink(missing_ok=True)
        model = onnx.load(str(target))
        model.producer_name, model.graph.name = "ClipDuet", "clip to logits"
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(target))
    return model


def kept_in_float(model: onnx.ModelProto, patterns: Sequence[str]) -> list[str]:
    """Names of the nodes that match a pattern, and of those that only stand between such nodes.

    The sigmoid of a gate has no name of its own: a node without weights stays in float when all
    that it reads comes from nodes that do, as does the pooling that nothing but a gate reads.
    """
    graph = model.graph
    wanted = re.compile("|".join(patterns)) if patterns else None
    kept = {node.name for node in graph.node if wanted and wanted.search(node.name)}
    made_by = {name: node for node in graph.node for name in node.output}
    read_by: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)
    loose = ("Relu", "Sigmoid", "Reshape", "GlobalAveragePool", "ReduceMean", "Cast", "Transpose")
    changed = True
    while changed:
        changed = False
        for node in graph.node:
            if node.name in kept or node.op_type not in loose:
                continue
            sources = [made_by[name] for name in node.input if name in made_by]
            readers = [reader for name in node.output for reader in read_by.get(name, ())]
            for neighbours in (sources, readers):
                if neighbours and all(n.name in kept for n in neighbours):
                    kept.add(node.name)
                    changed = True
    return [node.name for node in graph.node if node.name in kept]


class _Reader:
    """Feeds the quantiser one clip at a time; it asks until it gets ``None``."""

    def __init__(self, clips: np.ndarray) -> None:
        self._clips = clips
        self.set_range(0, len(clips))

    def __len__(self) -> int:
        return len(self._clips)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._pending = iter(self._clips[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        clip = next(self._pending, None)
        return None if clip is None else {INPUT: clip[None]}
