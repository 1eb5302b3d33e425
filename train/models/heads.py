"""What stands between a backbone's output and the logits."""

from __future__ import annotations

from paddle import Tensor, nn
from paddle.nn import functional as F

from train.models.layers import segment_mean, tsm_linear


class MoViNetHead(nn.Layer):
    """The identity: for backbones that end in logits, as PPTSM_v2 does."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, num_classes]`, as they are."""
        return x


class PPTSMHead(nn.Layer):
    """Global pooling, dropout, mean over segments, one linear layer (PaddleVideo's ppTSMHead).

    Input: features `[N * num_seg, in_channels, H, W]`. Output: logits `[N, num_classes]`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        drop_ratio: float = 0.8,
        std: float = 0.01,
        num_seg: int = 8,
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        self.dropout = nn.Dropout(drop_ratio)
        self.fc = tsm_linear(in_channels, num_classes, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, in_channels, H, W]` to logits `[N, num_classes]`."""
        x = self.dropout(F.adaptive_avg_pool2d(x, 1))
        return self.fc(segment_mean(x, self.num_seg))
