"""The network as it is shipped: pixels in, logits out, nothing computed that can be folded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor, nn

from export.network.shift import delay_shift
from infer.clips.spec import ClipSpec


class DeployNet(nn.Layer):
    """A network of `export.network.fuse.fuse` with its input's normalisation.

    Input: uint8 `[N, T, H, W, 3]` RGB. Output: float32 logits `[N, classes]`.

    Normalised pixels are `(x - 255 mean) / (255 std)`. Only the subtraction is done here; the
    factor goes into the weights of the first convolution, which is exact at the borders as well,
    since a zero of its padding stands for the mean before and after.

    Args:
        network: `Sequential(backbone, head)`; it is copied.
        spec: how clips are made; gives mean, standard deviation and size.
    """

    def __init__(self, network: nn.Sequential, spec: ClipSpec) -> None:
        super().__init__()
        self.pixels = CentredPixels(spec.preprocess.mean)
        self.network = copy.deepcopy(network)
        self.spec = spec
        _scale_inputs(self.network, spec.preprocess.std)
        delay_shift(self.network)
        self.eval()

    # No branch of a network depends on a tensor: it is traced as it is. Paddle would rewrite the
    # source of every layer first, which takes most of the time, for the same program.
    @paddle.jit.not_to_static
    def forward(self, clip: Tensor) -> Tensor:
        """Clips uint8 `[N, T, H, W, 3]` to logits float32 `[N, classes]`."""
        return self.network(self.pixels(clip))

    def tensors(self) -> dict[str, Tensor]:
        """Every float tensor of the graph, by its name in our artefacts.

        `backbone.` and `head.` stand for the numbers that the network's keys begin with.
        """
        buffers = dict(self.network.named_buffers())
        found = {f"pixels.{name}": buffer for name, buffer in self.pixels.named_buffers()}
        for key, value in {**self.network.state_dict(), **buffers}.items():
            part, _, rest = key.partition(".")
            found[f"{('backbone', 'head')[int(part)]}.{rest}"] = value
        return found

    def tensor_names(self) -> dict[str, str]:
        """Paddle's own name of each tensor to the one in our artefacts."""
        return {tensor.name: name for name, tensor in self.tensors().items()}


class CentredPixels(nn.Layer):
    """Lay out a batch of clips and take the mean off.

    Input: uint8 `[N, T, H, W, 3]` RGB. Output: float32 `[N * T, 3, H, W]`, `x - 255 mean`.

    Args:
        mean: a channel, of pixel / 255.
    """

    def __init__(self, mean: Sequence[float]) -> None:
        super().__init__()
        offset = (-255.0 * np.asarray(mean, np.float64)).astype(np.float32)
        # A number a channel: by rows, as the ONNX file has it, Paddle Inference took forty times
        # as long for this sum, a third of the whole network.
        self.register_buffer("offset", paddle.to_tensor(offset.reshape(1, 3, 1, 1)), False)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips uint8 `[N, T, H, W, 3]` to float32 `[N * T, 3, H, W]`."""
        frames = paddle.flatten(clips, start_axis=0, stop_axis=1)
        # Transpose while the pixels are still bytes: a quarter of the memory traffic.
        return paddle.transpose(frames, [0, 3, 1, 2]).astype("float32") + self.offset


def _scale_inputs(network: nn.Sequential, std: Sequence[float]) -> None:
    """Let the first convolution take `x - 255 mean` instead of normalised pixels."""
    first = next(layer for layer in network.sublayers() if isinstance(layer, nn.Conv2D))
    scale = 1.0 / (255.0 * np.asarray(std, np.float64).reshape(1, 3, 1, 1))
    weight = first.weight.numpy().astype(np.float64) * scale
    first.weight.set_value(weight.astype(np.float32))
