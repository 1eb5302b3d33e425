"""Train a pair with a loss of your own, without a change to the repository.

    python -m train.data.motions --out data/motions
    python examples/04_new_loss.py configs/methods/dml.yaml --output runs/cosine -o epochs=2

The config must have two networks, Teacher and Student; its own losses are replaced. The run is one
like any other: `python -m export --checkpoint runs/cosine/best.pdparams --out bundles/cosine`
exports it. docs/adding.md gives a loss a name that configs can use.
"""

from __future__ import annotations

import argparse
import sys

from paddle import Tensor
from paddle.nn import functional as F

from infer.system.errors import ClipDuetError
from train.config.load import load_config
from train.config.options import add_override, text_override
from train.data.splits import training_datasets
from train.distill.build_terms import label_term
from train.distill.recognizers import Recognizer
from train.distill.terms import Outputs, Term
from train.engine.loop import train
from train.engine.reporter import Reporter
from train.engine.run import built_networks
from train.losses import Target


def cosine(outputs: Outputs, target: Target) -> Tensor:
    """1 - cosine of the two networks' logits, [N, classes] each; the mean over the batch."""
    student, teacher = outputs["Student"], outputs["Teacher"].detach()
    return (1.0 - F.cosine_similarity(student, teacher, axis=-1)).mean()


def main() -> None:
    """Train the networks of a config with the labels and the new loss."""
    parser = argparse.ArgumentParser(description="Train a pair with a loss of your own.")
    parser.add_argument("config", help="YAML file of a pair")
    parser.add_argument("--output", required=True, help="folder of the run")
    add_override(parser)
    options = parser.parse_args()

    output = text_override("output_dir", options.output)
    cfg = load_config(options.config, [*options.override, output])
    if cfg.model["framework"] != "RecognizerDistillation":
        raise ClipDuetError(f"{options.config} trains one network; the loss needs two")
    train_set, valid_set = training_datasets(cfg)
    built, pixels = built_networks(cfg)
    own = Term("cosine", cosine, weight=2.0, learners=("Student",), reads=("Student", "Teacher"))
    terms = [label_term("Student"), label_term("Teacher"), own]
    networks = Recognizer(built.networks, {"Train": terms, "Val": [label_term("Student")]}), pixels
    shown = Reporter(sys.stderr)
    train(cfg, train_set=train_set, valid_set=valid_set, networks=networks, reporter=shown)


if __name__ == "__main__":
    try:
        main()
    except ClipDuetError as error:
        raise SystemExit(f"error: {error}") from None
