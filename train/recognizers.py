"""The networks of a run and the losses that tie them together, from a config's MODEL block.

``Recognizer2D`` is one network learning from the labels; ``RecognizerDistillation`` is several
that also learn from each other. Names, structure and state-dict keys are PaddleVideo's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn

from train.losses import Target, cross_entropy, mutual
from train.models import build_backbone, build_head, build_network

GROUND_TRUTH = "GroundTruth"
STUDENT = "Student"


@dataclass(frozen=True)
class Term:
    """One summand of the loss.

    Attributes:
        name: how logs call it, ``Student-Teacher.DML``.
        compute: from every network's logits and the labels to a scalar.
        weight: factor at the end of the ramp.
        ramp: shares of the run between which the factor rises linearly from 0, or None.
    """

    name: str
    compute: Callable[[Mapping[str, Tensor], Target], Tensor]
    weight: float = 1.0
    ramp: tuple[float, float] | None = None

    def factor(self, progress: float) -> float:
        """The term's factor after a share ``progress`` (0..1) of the run."""
        if self.ramp is None:
            return self.weight
        start, end = self.ramp
        if end <= start:
            return self.weight * (progress >= start)
        return self.weight * min(1.0, max(0.0, (progress - start) / (end - start)))


class Recognizer(nn.Layer):
    """Networks by role and the loss terms between them.

    Input of ``forward``: float32 ``[N * T, 3, H, W]``, normalised (see
    :class:`train.models.pixels.PixelInput`). Output: logits ``[N, classes]`` by role.

    Attributes:
        roles: names of the networks, in the order of the config.
        frozen: those of them that take no gradient and stay in evaluation mode.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Layer],
        terms: Mapping[str, list[Term]],
        frozen: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.roles = list(networks)
        self.frozen = frozen
        self._terms = terms
        self._networks = dict(networks)
        self._register()
        for role in frozen:
            for parameter in self._networks[role].parameters():
                parameter.stop_gradient = True

    def _register(self) -> None:
        for role, network in self._networks.items():
            self.add_sublayer(role, network)

    @property
    def networks(self) -> dict[str, nn.Layer]:
        """The networks by role."""
        return dict(self._networks)

    @property
    def student(self) -> nn.Layer:
        """The network that is deployed."""
        return self._networks[STUDENT]

    def forward(self, inputs: Tensor, *, draw: str | None = None) -> dict[str, Tensor]:
        """Logits by role; ``draw`` names the step, from which each network's dropout follows."""
        outputs = {}
        for role, network in self._networks.items():
            if draw is not None:
                _seed(draw, role)
            with paddle.set_grad_enabled(paddle.is_grad_enabled() and role not in self.frozen):
                outputs[role] = network(inputs)
        return outputs

    def losses(
        self,
        outputs: Mapping[str, Tensor],
        target: Target,
        *,
        mode: str = "Train",
        progress: float = 1.0,
    ) -> dict[str, Tensor]:
        """Weighted loss terms by name; their sum is the loss.

        Args:
            outputs: logits ``[N, classes]`` by role.
            target: the batch's labels.
            mode: ``Train`` or ``Val``, the list of terms to use.
            progress: share of the run that is over, 0..1, for terms with a ramp. A term whose
                factor is 0 is left out and costs nothing.
        """
        return {
            term.name: factor * term.compute(outputs, target)
            for term in self._terms[mode]
            if (factor := term.factor(progress)) > 0
        }

    def train(self) -> None:
        """Training mode, but for frozen networks: their batch norms must not move."""
        super().train()
        for role in self.frozen:
            self._networks[role].eval()

    def trainable_parameters(self) -> list[paddle.base.framework.EagerParamBase]:
        """Parameters that take a gradient, of all networks."""
        return [p for group in self.parameter_groups() for p in group]

    def parameter_groups(self) -> list[list[paddle.base.framework.EagerParamBase]]:
        """The same, network by network."""
        groups = [network.parameters() for network in self._networks.values()]
        return [[p for p in group if not p.stop_gradient] for group in groups]


class _Single(Recognizer):
    """One network whose keys are ``backbone.*`` and ``head.*``, as Recognizer2D's are."""

    def _register(self) -> None:
        backbone, head = self._networks[STUDENT]
        self.add_sublayer("backbone", backbone)
        self.add_sublayer("head", head)


def build_recognizer(model: Mapping[str, Any], *, seed: int) -> Recognizer:
    """Build the networks and losses of a MODEL block (validated by :mod:`train.config`).

    Every network's initial weights come from a generator seeded by ``seed`` and its role alone,
    so the student of a pair starts where the same student starts that trains without one: a
    comparison of the two then compares the training, not the draw.

    Args:
        model: ``framework``, and ``backbone`` and ``head`` or ``models`` and ``loss``.
        seed: the run's seed.
    """
    if model["framework"] == "Recognizer2D":
        _seed(seed, STUDENT)
        network = nn.Sequential(build_backbone(model["backbone"]), build_head(model["head"]))
        smoothing = float(model["head"].get("ls_eps") or 0.0)
        return _Single(
            {STUDENT: network},
            {
                "Train": [_labels_term(STUDENT, {"label_smoothing": smoothing})],
                "Val": [_labels_term(STUDENT, {})],
            },
        )
    networks: dict[str, nn.Layer] = {}
    for entry in model["models"]:
        ((role, block),) = entry.items()
        _seed(seed, role)
        networks[role] = build_network(block)
    flags = model.get("freeze_params_list") or [False] * len(networks)
    frozen = frozenset(role for role, flag in zip(networks, flags, strict=True) if flag)
    terms = {mode: [_term(block) for block in blocks] for mode, blocks in model["loss"].items()}
    return Recognizer(networks, terms, frozen)


def _seed(*parts: object) -> None:
    paddle.seed(zlib.crc32("/".join(map(str, parts)).encode()))


def _labels_term(role: str, settings: Mapping[str, Any], **weighting: Any) -> Term:
    def compute(outputs: Mapping[str, Tensor], target: Target) -> Tensor:
        return cross_entropy(outputs[role], target, **settings)

    return Term(f"{role}.CE", compute, **weighting)


def _mutual_term(a: str, b: str, settings: Mapping[str, Any], **weighting: Any) -> Term:
    def compute(outputs: Mapping[str, Tensor], target: Target) -> Tensor:
        return mutual(outputs[a], outputs[b], **settings)

    return Term(f"{a}-{b}.DML", compute, **weighting)


def _term(block: Mapping[str, Any]) -> Term:
    a, b = block["model_name_pairs"]
    weighting: dict[str, Any] = {"weight": float(block.get("loss_weight") or 1.0)}
    if block.get("loss_weight") == 0:
        weighting["weight"] = 0.0
    if block.get("ramp"):
        weighting["ramp"] = tuple(block["ramp"])
    if GROUND_TRUTH in (a, b):
        role = b if a == GROUND_TRUTH else a
        return _labels_term(role, {}, **weighting)
    settings = {"temperature": float(block["temperature"])} if block.get("temperature") else {}
    return _mutual_term(a, b, settings, **weighting)
