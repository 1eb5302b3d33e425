"""The networks of a run and the losses that tie them together.

Names, structure and state-dict keys are PaddleVideo's. `train.distill.build_recognizer` makes them
of a config's MODEL block.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import paddle
from paddle import Tensor, nn

from train.config.schema.model import CONNECTORS, STUDENT
from train.distill.at_once import drawing, has_cores, run_all
from train.distill.averages import AverageOf
from train.distill.taps import tapped
from train.distill.terms import Outputs, Term
from train.losses import Target
from train.losses.float32 import in_float32
from train.models.layers import BATCH_NORMS

Parameters = list[paddle.base.framework.EagerParamBase]


class Recognizer(nn.Layer):
    """Networks by role and the loss terms between them.

    Input of `forward`: float32 `[N * T, 3, H, W]`, normalised (see
    `train.models.pixels.PixelInput`). Output: logits `[N, classes]` by role.

    Attributes:
        roles: names of the networks, in the order of the config.
        terms: of the loss, by mode: `Train` and `Val`.
        adapters: by role, from `inputs` to what a network sees, where that is something else.
        frozen: those of them that take no gradient and stay in evaluation mode.
        update: `together` or `alternating`, see `turns`.
        precisions: by role, for networks that do not compute at the run's.
        averages: by role, those of the frozen that follow another one, in float32.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Sequential],
        terms: Mapping[str, Sequence[Term]],
        *,
        frozen: frozenset[str] = frozenset(),
        update: str = "together",
        adapters: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        precisions: Mapping[str, str] | None = None,
        averages: Mapping[str, AverageOf] | None = None,
    ) -> None:
        super().__init__()
        self.roles = list(networks)
        self.averages = dict(averages or {})
        self.frozen, self.update = frozen | self.averages.keys(), update
        self.terms = terms
        self._networks = dict(networks)
        self.adapters, self.precisions = dict(adapters or {}), dict(precisions or {})
        self._taps = {
            role: sorted(
                {path for term in terms["Train"] for own, path in term.taps if own == role}
            )
            for role in networks
        }
        self._register()
        own = {str(i): t.layer for i, t in enumerate(terms["Train"]) if t.layer is not None}
        if own:
            self.add_sublayer(CONNECTORS, nn.LayerDict(own))
        for role in self.frozen:
            for parameter in self._networks[role].parameters():
                parameter.stop_gradient = True
        # Batch norms of layers that do not learn keep their statistics, as all of a frozen one do.
        self._still = [
            layer
            for role, network in networks.items()
            for layer in network.sublayers()
            if isinstance(layer, BATCH_NORMS)
            and (role in self.frozen or layer.weight.stop_gradient)
        ]

    def _register(self) -> None:
        for role, network in self._networks.items():
            self.add_sublayer(role, network)

    @property
    def networks(self) -> dict[str, nn.Sequential]:
        """The networks by role."""
        return dict(self._networks)

    @property
    def student(self) -> nn.Sequential:
        """The network that is deployed."""
        return self._networks[STUDENT]

    def forward(self, inputs: Tensor, *, draw: str | None = None) -> Outputs:
        """Logits by role; `draw` names the step, from which each network's dropout follows."""
        outputs = Outputs({})
        draws = drawing(self._networks)
        # All draws of a process come from one generator, and a precision holds for all threads.
        if len(draws) > 1 or self.precisions or self.averages or not has_cores(len(self.roles)):
            for role in self._networks:
                self.run(role, inputs, outputs, draw=draw)
            return outputs
        if draw is not None:
            for role in draws:
                seed_draws(draw, role)
        # Whether gradients are wanted is known to this thread alone.
        grad = paddle.is_grad_enabled()
        said = {role: Outputs({}) for role in self._networks}
        run_all([partial(self._run, role, inputs, said[role], grad=grad) for role in said])
        for part in said.values():
            outputs.update(part)
            outputs.features.update(part.features)
        return outputs

    def run(self, role: str, inputs: Tensor, outputs: Outputs, *, draw: str | None = None) -> None:
        """Put what one network says of `inputs` into `outputs`; see `forward`."""
        if draw is not None:
            seed_draws(draw, role)
        self._run(role, inputs, outputs, grad=paddle.is_grad_enabled())

    def _run(self, role: str, inputs: Tensor, outputs: Outputs, *, grad: bool) -> None:
        network = self._networks[role]
        if role in self.adapters:
            inputs = self.adapters[role](inputs)
        learning = grad and role not in self.frozen
        # In evaluation nobody asks for features.
        paths = self._taps[role] if self.training else ()
        with paddle.set_grad_enabled(learning), tapped(network, paths) as features:
            if role in self.precisions:
                with paddle.amp.auto_cast(dtype=self.precisions[role]):
                    outputs[role] = network(inputs)
            elif role in self.averages:
                # In half precision an average would not move by a thousandth.
                with paddle.amp.auto_cast(enable=False):
                    outputs[role] = network(in_float32(inputs))
            else:
                outputs[role] = network(inputs)
        outputs.features.update({(role, path): value for path, value in features.items()})

    def losses(
        self,
        outputs: Outputs,
        target: Target,
        *,
        mode: str = "Train",
        progress: float = 1.0,
        learner: str | None = None,
    ) -> dict[str, Tensor]:
        """Weighted loss terms by name; their sum is the loss.

        Args:
            outputs: logits `[N, classes]` by role, and features in training.
            target: the batch's labels.
            mode: `Train` or `Val`, the list of terms to use.
            progress: share of the run that is over, 0..1, for terms with a ramp. A term whose
                factor is 0 is left out and costs nothing.
            learner: only the terms that teach this network; None: all.
        """
        return {
            term.name: term.factor(progress) * term.compute(outputs, target)
            for term in self.terms[mode]
            if (learner is None or learner in term.learners)
            and term.counts(outputs.clips, progress)
        }

    def can_learn(self, clips: int, progress: float) -> bool:
        """Whether any term of the training takes a batch of so many clips, over all processes."""
        return any(term.counts(clips, progress) for term in self.terms["Train"])

    def can_lose(self, outputs: Outputs, *, mode: str) -> bool:
        """Whether `outputs` hold all that the terms of a mode look at."""
        terms = self.terms.get(mode, ())
        return bool(terms) and all(
            set(term.reads) <= set(outputs) and not term.taps for term in terms
        )

    def is_read(self, role: str) -> bool:
        """Whether a term of the training looks at a network's logits."""
        return any(role in term.reads for term in self.terms["Train"])

    def tapped(self, role: str) -> list[str]:
        """The layers of a network, by path, that the training looks into."""
        return list(self._taps[role])

    def train(self) -> None:
        """Training mode, but for frozen networks: their batch norms must not move."""
        super().train()
        for role in self.frozen:
            self._networks[role].eval()
        for layer in self._still:
            layer.eval()

    @property
    def still(self) -> frozenset[str]:
        """Keys of the state that no gradient changes: those of frozen networks, of averages too."""
        return frozenset(
            f"{role}.{key}" for role in self.frozen for key in self._networks[role].state_dict()
        )

    @property
    def norms(self) -> list[nn.Layer]:
        """The batch norms whose statistics follow the training, those of losses too."""
        still = set(map(id, self._still))
        return [
            layer
            for layer in self.sublayers()
            if isinstance(layer, BATCH_NORMS) and id(layer) not in still
        ]

    @property
    def turns(self) -> list[tuple[str | None, bool]]:
        """Who takes an optimiser step for a batch, in turn, and whether it is the last.

        None stands for all at once; alternating, as in the DML paper, each learning network has
        its own turn.
        """
        learners = [role for role in self.roles if role not in self.frozen]
        if self.update == "together" or len(learners) < 2:
            return [(None, True)]
        return [(role, role == learners[-1]) for role in learners]

    def trainable_parameters(self) -> Parameters:
        """Parameters that take a gradient, of all networks and losses."""
        return [p for group in self.parameter_groups() for p in group]

    def parameter_groups(self) -> list[Parameters]:
        """The same, network by network, and then those of the losses."""
        groups = [network.parameters() for network in self._networks.values()]
        if CONNECTORS in self._sub_layers:
            groups.append(self._sub_layers[CONNECTORS].parameters())
        return [[p for p in group if not p.stop_gradient] for group in groups]


class SingleRecognizer(Recognizer):
    """One network whose keys are `backbone.*` and `head.*`, as Recognizer2D's are."""

    def _register(self) -> None:
        backbone, head = self._networks[STUDENT]
        self.add_sublayer("backbone", backbone)
        self.add_sublayer("head", head)


def seed_draws(*parts: object) -> None:
    """Let Paddle's next random numbers follow from what `parts` say, and from nothing else."""
    paddle.seed(zlib.crc32("/".join(map(str, parts)).encode()))
