"""Building blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import paddle
from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F
from paddle.nn.initializer import Normal
from paddle.regularizer import L2Decay

from train.models.convolution import Conv2D

BATCH_NORMS = (nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D)
"""What has statistics of the batch."""


def no_decay() -> ParamAttr:
    """Parameter attributes that exempt a batch norm's scale and shift from weight decay."""
    return ParamAttr(regularizer=L2Decay(0.0))


def tsm_linear(in_features: int, out_features: int, *, std: float | None = None) -> nn.Linear:
    """A linear layer that learns 5x (weight) and 10x (bias) faster than the rest.

    These are the rates that the TSM recipe gives to layers that no ImageNet checkpoint fills
    (Lin et al., TSM, 2019; PaddleVideo's ppTSMHead). `std` sets a normal initialisation.
    """
    return nn.Linear(
        in_features,
        out_features,
        weight_attr=ParamAttr(
            learning_rate=5.0,
            regularizer=L2Decay(1e-4),
            initializer=None if std is None else Normal(std=std),
        ),
        bias_attr=ParamAttr(learning_rate=10.0, regularizer=L2Decay(0.0)),
    )


def segment_mean(x: Tensor, num_seg: int) -> Tensor:
    """Average per-frame features `[N * num_seg, C, 1, 1]` into clip features `[N, C]`."""
    return paddle.mean(paddle.reshape(x, [-1, num_seg, x.shape[1]]), axis=1)


def batch_norm(channels: int) -> nn.BatchNorm2D:
    """A batch norm whose scale and shift do not decay."""
    return nn.BatchNorm2D(channels, weight_attr=no_decay(), bias_attr=no_decay())


class Names(NamedTuple):
    """What a network of PaddleVideo calls the two layers of `ConvBNAct` in its checkpoints."""

    conv: str
    norm: str


SHORT, LONG = Names("conv", "bn"), Names("_conv", "_batch_norm")


class ConvBNAct(nn.Layer):
    """Convolution, batch norm and an activation function, if there is one.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: height and width of the filters.
        stride: what height and width are divided by.
        depthwise: one filter a channel.
        act: class of the activation function.
        names: of convolution and batch norm in checkpoints.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        depthwise: bool = False,
        act: type[nn.Layer] | None = nn.ReLU,
        names: Names = SHORT,
    ) -> None:
        super().__init__()
        self._names = names
        self.add_sublayer(
            names.conv,
            Conv2D(in_channels, out_channels, kernel_size, stride, depthwise=depthwise),
        )
        self.add_sublayer(names.norm, batch_norm(out_channels))
        self.act = None if act is None else act()

    @property
    def convolution(self) -> nn.Conv2D:
        """The convolution, whatever its name."""
        return getattr(self, self._names.conv)

    @property
    def norm(self) -> nn.Layer:
        """The batch norm, or what has taken its place."""
        return getattr(self, self._names.norm)

    def replace_norm(self, layer: nn.Layer) -> None:
        """Put another layer where the batch norm is."""
        setattr(self, self._names.norm, layer)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N, in_channels, H, W]` to `[N, out_channels, H / stride, W / stride]`."""
        x = self.norm(self.convolution(x))
        return x if self.act is None else self.act(x)


class SqueezeExcitation(nn.Layer):
    """Channel gates from globally pooled features (Hu et al., 2018); `sigmoid` limits the gates."""

    def __init__(self, channels: int, *, sigmoid: Callable[[Tensor], Tensor] = F.sigmoid) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.conv1 = Conv2D(channels, channels // 4, 1, bias=True)
        self.conv2 = Conv2D(channels // 4, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N, channels, H, W]`, scaled; the same shape."""
        gate = F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        return x * self.sigmoid(self.conv2(gate))
