"""Pixels are normalised by one product and one sum in float32."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from train.models.pixels import PixelInput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_pixel_is_rounded_as_the_formula_says(dtype: str) -> None:
    values = np.arange(256).reshape(1, 2, 16, 8, 1).repeat(3, axis=4).astype(dtype)
    if dtype == "float32":  # what mixing makes of them
        values = (values * np.float32(0.37)).astype(np.float32)
    found = PixelInput(MEAN, STD)(paddle.to_tensor(values)).numpy()
    scale = (1 / (255 * np.array(STD))).astype(np.float32)
    shift = (-np.array(MEAN) / np.array(STD)).astype(np.float32)
    expected = (values.astype(np.float32) * scale + shift)[0].transpose(0, 3, 1, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
