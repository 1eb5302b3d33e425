"""Options of an export, and the names of what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from export import option_limits as limits
from export.int8.defaults import MOST, Goal
from export.int8.placement import Activations
from export.int8.quantize import KEEP_FLOAT
from export.int8.ranges import Calibrator
from export.verify.limits import FLOAT16, FLOAT32

FP32, FP16, PADDLE = "onnx.fp32", "onnx.fp16", "paddle.fp32"
INT8, INT8_X86 = "onnx.int8", "onnx.int8.x86"
ONNX_FILES = {
    FP32: "model.fp32.onnx",
    FP16: "model.fp16.onnx",
    INT8: "model.int8.onnx",
    INT8_X86: "model.int8.x86.onnx",
}
LABELS = {
    FP32: "ONNX Runtime fp32",
    FP16: "ONNX Runtime fp16",
    INT8: "ONNX Runtime int8",
    INT8_X86: "ONNX Runtime int8 for x86",
    PADDLE: "Paddle Inference",
}
ACTIVATIONS: dict[str, Activations] = {INT8: "int8", INT8_X86: "uint8"}
"""The quantised artefacts: symmetric for every engine, and what x86 CPUs run faster."""
LIMITS = {FP32: FLOAT32, FP16: FLOAT16, PADDLE: FLOAT32}
"""Artefacts of floats, and how far their logits may be from the trained network's."""
OPTIONAL = {"fp16": (FP16,), "int8": (INT8, INT8_X86)}
"""Precisions that a bundle may be without, and their artefacts."""
ALL = "all"
NUMBERS = {
    "max_batch": limits.BATCH,
    "verify_clips": limits.CLIPS_OR_ALL,
    "calibration_clips": limits.CLIPS,
    "threads": limits.THREADS,
    "workers": limits.Allowed(0),
}
"""Numbers of `Options`, by their names here and on the command line."""
GOAL_NUMBERS = {
    "int8_goal": limits.POINTS,
    "int8_least": limits.PERCENT,
    "int8_most": limits.SHARE,
}


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        name: the bundle's name; None: that of its folder.
        max_batch: the largest batch that is verified and that runtimes will run at once.
        fp16: make the artefact of float16 too.
        int8: the quantised artefacts to make, keys of `ACTIVATIONS`.
        calibration_clips: training clips that set their ranges.
        calibrator: how ranges follow from the values seen (`export.int8.ranges`).
        reduce_range: 7-bit weights, for x86 CPUs without VNNI.
        keep_float: nodes that are not quantised (`export.int8.quantize.quantize`).
        verify_clips: samples of the validation list to compare accuracy on; 0: all.
        threads: CPU threads of the runtimes; None: all cores.
        workers: threads that read clips ahead.
        goal: what the quantised artefacts must reach on these samples; layers are kept in float
            where need be. None: there is no goal.
        most_float: largest share of the multiply-adds to keep in float for it.
        qat: folder of a fine-tune (`export.qat`) whose graphs become the quantised artefacts.
        require: precisions without which there is no bundle: fp16, int8, or all that are made.
            Another one that fails is left out. fp32 is always required.

    Raises:
        OptionError: about everything that is out of range, wrong, or without effect.
    """

    name: str | None = None
    max_batch: int = 32
    fp16: bool = True
    int8: tuple[str, ...] = tuple(ACTIVATIONS)
    calibration_clips: int = 128
    calibrator: Calibrator = "percentile"
    reduce_range: bool = False
    keep_float: tuple[str, ...] = KEEP_FLOAT
    verify_clips: int = 256
    threads: int | None = None
    workers: int = 1
    goal: Goal | None = None
    most_float: float = MOST
    qat: Path | None = None
    require: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        limits.refuse(
            [
                *self._wrong_numbers(),
                *limits.pattern_problems("keep_float", self.keep_float),
                *self._wrong_name(),
                *self._idle(),
                *self._wrong_requirements(),
            ]
        )

    def _wrong_numbers(self) -> list[str]:
        goal = self.goal
        return limits.number_problems(
            {
                **{name: getattr(self, name) for name in NUMBERS},
                "int8_goal": None if goal is None else goal.loss,
                "int8_least": None if goal is None else goal.least,
                "int8_most": self.most_float,
            },
            NUMBERS | GOAL_NUMBERS,
        )

    def _wrong_name(self) -> list[str]:
        # A surrogate stands for a byte of a file's name that is no UTF-8.
        if self.name is None or not {"Cc", "Cs"} & set(map(category, self.name)):
            return []
        return [f"--name is {self.name!r}; allowed: a text without control characters"]

    def _idle(self) -> list[str]:
        """Options about 8-bit files, where none is made."""
        given = {
            "--int8-goal": self.goal is not None,
            "--qat": self.qat is not None,
            "--keep-float": self.keep_float != KEEP_FLOAT,
            "--reduce-range": self.reduce_range,
        }
        return [
            f"{flag} is about 8-bit files, and --no-int8 leaves them out: choose one"
            for flag, is_given in given.items()
            if is_given and not self.int8
        ]

    def _wrong_requirements(self) -> list[str]:
        found = []
        for precision in dict.fromkeys(self.require):
            if precision not in (*OPTIONAL, "fp32", ALL):
                found.append(
                    f"--require is {precision!r}; allowed: {', '.join(OPTIONAL)}, or {ALL}"
                )
            elif precision in OPTIONAL and not set(OPTIONAL[precision]) & set(self.made):
                found.append(
                    f"{precision} is required, and --no-{precision} leaves it out: choose one"
                )
        return found

    @property
    def made(self) -> tuple[str, ...]:
        """Keys of the artefacts to make."""
        return (FP32, *((FP16,) if self.fp16 else ()), *self.int8, PADDLE)

    @property
    def required(self) -> frozenset[str]:
        """Keys of the artefacts without which there is no bundle."""
        if ALL in self.require:
            return frozenset(self.made)
        keys = frozenset((FP32, PADDLE)).union(*(OPTIONAL.get(name, ()) for name in self.require))
        return keys & set(self.made)
