"""What networks learn from: the labels, and each other. One method, one module.

Every loss is a function of tensors that returns a scalar, the mean over the batch; the two that
learn something themselves, OverHaul's connectors and AFD's attention, are layers. All compute in
float32, or float64 where they are given it, whatever precision the networks run in. Which loss
ties which networks together is the config's to say: `train.distill.terms`. Several of them use
`float32`, `standardize` and `target`.
"""

from train.losses.afd import AttentionTransfer
from train.losses.dist import dist
from train.losses.distance import feature_distance
from train.losses.dkd import decoupled
from train.losses.dml import mutual
from train.losses.js import js_divergence
from train.losses.kd import kl_divergence
from train.losses.kdcl import collaborative
from train.losses.labels import cross_entropy
from train.losses.overhaul import connector_layer, margins, partial_l2
from train.losses.rkd import rkd_angle, rkd_distance
from train.losses.target import Target

__all__ = [
    "AttentionTransfer",
    "Target",
    "collaborative",
    "connector_layer",
    "cross_entropy",
    "decoupled",
    "dist",
    "feature_distance",
    "js_divergence",
    "kl_divergence",
    "margins",
    "mutual",
    "partial_l2",
    "rkd_angle",
    "rkd_distance",
]
