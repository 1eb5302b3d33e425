"""The fine-tune itself: a Q/DQ graph learns from the fp32 graph that it was made of.

Or from the run's labels and other networks, see `export.qat.mutual`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
from paddle import Tensor, nn

from export.clips.selection import first_clips
from export.network.convert import INPUT
from export.network.sessions import cpu_session
from export.qat.graph_net import GraphNet
from export.qat.mutual import mutual_recognizer
from export.qat.settings import qat_settings
from export.qat.trained import START_GRAPH, TRAINED
from export.verify.limits import INT8_BATCHES
from export.verify.origin import onnx_tensors
from export.verify.parity import check_logits
from infer.system.errors import ClipDuetError
from infer.system.files import replacing
from train.config.load import Config
from train.config.schema.experiment import Qat
from train.data.dataset import ClipDataset
from train.distill.build_terms import label_term
from train.distill.recognizers import STUDENT, Recognizer
from train.distill.terms import Outputs, Term
from train.engine.loop import train
from train.engine.reporter import Reporter
from train.engine.stage_progress import StageProgress
from train.losses import Target, kl_divergence

TEACHER = "Teacher"


def train_graph(
    cfg: Config,
    folder: Path,
    datasets: tuple[ClipDataset, ClipDataset],
    *,
    fp32: Path,
    checkpoint: Path,
    resume: bool,
    should_stop: Callable[[], bool],
    stage: StageProgress | None = None,
) -> dict[str, Any]:
    """Train `folder/start.onnx` and write `folder/trained.onnx`.

    Args:
        cfg: epochs, optimiser, `QAT`.
        folder: gets checkpoints, too, as any run does.
        datasets: training and validation clips.
        fp32: the ONNX file before it was quantised.
        checkpoint: the run's weights, its other networks' among them.
        resume: go on from the last checkpoint.
        should_stop: looked at after every step.
        stage: which of several trainings this is.

    Returns:
        Epochs, steps, seconds and the validation's top-1 at the end.
    """
    own = cfg.model_copy(update={"output_dir": str(folder)})
    settings = qat_settings(cfg)

    def rounded() -> GraphNet:
        return GraphNet(
            onnx.load(str(folder / START_GRAPH)),
            onnx_tensors(onnx.load(str(fp32))),
            step_rate=settings.step_rate,
        )

    if settings.loss == "run":
        recognizer = mutual_recognizer(cfg, checkpoint, rounded)
        others = ", ".join(role for role in recognizer.roles if role != STUDENT)
        how = f"learns with {others}"
    else:
        recognizer, how = _self_recognizer(settings, rounded(), fp32), f"learns from {fp32.name}"
    student = recognizer.student
    stage = stage or StageProgress(name="fine-tuning for 8 bits")
    reporter = Reporter(sys.stderr, stage=stage)
    reporter.line(f"{stage.long}  {folder}  a Q/DQ graph {how}")
    try:
        progress = train(
            own,
            train_set=datasets[0],
            valid_set=datasets[1],
            resume=resume,
            reporter=reporter,
            should_stop=should_stop,
            networks=(recognizer, nn.Identity()),
        )
    finally:
        reporter.close()
    # The end of the run, not the epoch that happened to be best: they differ by a few clips.
    model = student.to_onnx()
    _check(student, model, datasets[1])
    with replacing(folder / TRAINED) as file:
        onnx.save(model, str(file))
    return {
        "epochs": progress.epoch,
        "steps": progress.step,
        "seconds": round(progress.seconds, 1),
        "validation_top1": progress.history[-1][f"valid.{STUDENT}.top1"],
        "settings": settings.model_dump(),
        "optimizer": cfg.optimizer,
    }


def _self_recognizer(settings: Qat, student: GraphNet, teacher: Path) -> Recognizer:
    def distillation(outputs: Outputs, target: Target) -> Tensor:
        return kl_divergence(outputs[STUDENT], outputs[TEACHER], temperature=settings.temperature)

    terms = [Term(f"{STUDENT}-{TEACHER}.KD", distillation, learners=(STUDENT,))]
    if settings.label_weight:
        labels = label_term(STUDENT)
        terms.append(Term(labels.name, labels.compute, settings.label_weight, learners=(STUDENT,)))
    return Recognizer(
        {TEACHER: OnnxTeacher(teacher), STUDENT: student},
        {"Train": terms, "Val": [label_term(STUDENT)]},
        frozen=frozenset({TEACHER}),
    )


class OnnxTeacher(nn.Layer):
    """An ONNX file as a layer without parameters: uint8 clips to logits, and no gradient."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        asked = int(os.environ.get("OMP_NUM_THREADS") or 0)
        self._session = cpu_session(file, threads=asked or None)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips uint8 `[N, T, H, W, 3]` to logits float32 `[N, classes]`."""
        return paddle.to_tensor(self._session.run(None, {INPUT: clips.numpy()})[0])


def _check(student: GraphNet, model: onnx.ModelProto, dataset: ClipDataset) -> None:
    """What is written computes what was trained."""
    clips, paths, _ = first_clips(dataset, 8)
    if not clips:
        raise ClipDuetError("no clip of the validation list can be read")
    batch = np.stack(clips)
    student.eval()
    with paddle.no_grad():
        trained = student(paddle.to_tensor(batch)).numpy()
    # 8-bit kernels round sums otherwise: that is for export to look at.
    written = cpu_session(model, exact=True).run(None, {INPUT: batch})[0]
    # A sum in another order may end on the other side of a rounding here as in another batch.
    check_logits("The trained Q/DQ graph", trained, written, clips=paths, limits=INT8_BATCHES)
