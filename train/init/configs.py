"""The configs: the student alone, the pair that learns mutually, and the teacher it starts with."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from train.data.dataset_block import block_of_videos, yaml_text
from train.data.lists import LIST_NAMES
from train.init.choices import Choices
from train.init.model_text import features, student, teacher_of, told_features

BASELINE, DML, TEACHER = "baseline.yaml", "dml.yaml", "teacher.yaml"


def baseline(choices: Choices, *, root: Path, out: Path, run: str, head: Sequence[str]) -> str:
    """The text of `baseline.yaml`.

    Args:
        choices: the settings.
        root: folder of the clips.
        out: folder of lists and configs.
        run: folder of its run.
        head: lines about the clips, for its comment.
    """
    why = choices.reasons
    lines = [
        *_comment("The student alone, on these clips:"),
        "#",
        *(line for text in head for line in _comment(text)),
        "",
        "MODEL:",
        "  framework: Recognizer2D",
        *_comment(f"{why['networks']}; the number of classes follows from classes.txt", "  "),
        f"  backbone: {student(choices)}",
        "  head: {name: MoViNetHead}",
        "",
        *_comment(why["balance"]),
        *block_of_videos(root, out, LIST_NAMES.values(), balance=choices.balance),
        *_comment(why["batch_size"], "  "),
        f"  batch_size: {choices.batch_size}",
        *_comment(why["num_workers"], "  "),
        f"  num_workers: {choices.num_workers}",
        *_comment(why["cache"], "  "),
        f"  cache: {_flag(choices.cache)}",
        *_comment(why["label_flip"], "  "),
        f"  label_flip: {_label_flip(choices)}",
        "",
        *_comment(f"num_seg: {why['num_seg']}"),
        *_comment(f"target_size: {why['crop']}"),
        "PIPELINE:",
        *_pipeline(choices, "train"),
        *_pipeline(choices, "valid"),
        "",
        "OPTIMIZER:",
        "  name: AdamW",
        "  weight_decay: 0.02",
        "  grad_clip: 5.0",
        "  learning_rate:",
        "    name: CustomWarmupCosineDecay",
        "    iter_step: true",
        "    warmup_epochs: 2",
        "    warmup_start_lr: 1.0e-4",
        *_comment(why["rate"], "    "),
        f"    cosine_base_lr: {choices.rate:g}",
        "",
        *_comment(why["epochs"]),
        f"epochs: {choices.epochs}",
        "seed: 0",
        f"output_dir: {yaml_text(run)}",
    ]
    return "\n".join(lines) + "\n"


def mutual(choices: Choices, *, run: str) -> str:
    """The text of `dml.yaml`, which inherits `baseline.yaml`."""
    backbone, head = teacher_of(choices)
    reason = "\n".join(_comment(told_features(choices), "  "))
    return f"""\
# The student of {BASELINE} and a teacher that learn from each other (deep mutual learning).
#
# Clips, schedule and the student's first weights are those of the baseline.
_BASE_: {BASELINE}

# A teacher that knows something has more to teach than one that begins with the student: it is
# trained first, on the same clips. TEACHER=FILE takes one that is there.
BEFORE:
  TEACHER: {{train: {TEACHER}}}

MODEL:
  _replace_: true
  framework: RecognizerDistillation
  models:
    - Teacher:
        backbone: {backbone}
        head: {head}
        pretrained: ${{TEACHER}}
    - Student:
        backbone: {student(choices)}
        head: {{name: MoViNetHead}}
{reason}
  loss:
    Train:
      - {{name: DistillationCELoss, model_name_pairs: [Student, GroundTruth]}}
      - {{name: DistillationCELoss, model_name_pairs: [Teacher, GroundTruth]}}
      - {{name: DistillationDMLLoss, model_name_pairs: [Student, Teacher], loss_weight: 2.0}}
{features(choices)}    Val:
      - {{name: DistillationCELoss, model_name_pairs: [Student, GroundTruth]}}

output_dir: {yaml_text(run)}
"""


def teacher(choices: Choices, *, run: str) -> str:
    """The text of `teacher.yaml`, which inherits `baseline.yaml`."""
    backbone, head = teacher_of(choices, starts=True)
    return f"""\
# The teacher of {DML} alone: what it starts with.
_BASE_: {BASELINE}

MODEL:
  _replace_: true
  framework: Recognizer2D
  backbone: {backbone}
  head: {head}

output_dir: {yaml_text(run)}
"""


def _pipeline(choices: Choices, split: str) -> list[str]:
    train, networks = split == "train", choices.networks
    drawn = [
        f"      - MultiScaleCrop: {{target_size: {choices.short_size}}}",
        f"      - RandomCrop: {{target_size: {choices.crop}}}",
        *(["      - RandomFlip:"] if choices.flip else []),
        "      - ColorJitter: {brightness: 0.3, contrast: 0.3, saturation: 0.3}",
    ]
    return [
        f"  {split}:",
        "    decode: {name: VideoDecoder}",
        f"    sample: {{num_seg: {choices.num_seg}, valid_mode: {_flag(not train)}, "
        "select_left: true}",
        "    transform:",
        f"      - Scale: {{short_size: {choices.short_size}, fixed_ratio: false}}",
        *(drawn if train else [f"      - CenterCrop: {{target_size: {choices.crop}}}"]),
        "      - Image2Array:",
        f"      - Normalization: {{mean: {list(networks.mean)}, std: {list(networks.std)}}}",
    ]


def _label_flip(choices: Choices) -> str:
    rule = choices.label_flip
    if isinstance(rule, str):
        return rule
    return "{" + ", ".join(f"{yaml_text(a)}: {yaml_text(b)}" for a, b in rule.items()) + "}"


def _comment(text: str, indent: str = "") -> list[str]:
    """Lines of a comment; what a terminal or YAML could not show is escaped."""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return [f"{indent}# {line}" for line in textwrap.wrap(text, 98 - len(indent))]


def _flag(value: bool) -> str:
    return "true" if value else "false"
