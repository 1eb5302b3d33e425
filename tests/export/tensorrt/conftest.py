"""A tiny bundle, and a machine with a stand-in for TensorRT."""

from __future__ import annotations

import pytest

from tests import fake_tensorrt
from tests.export.tensorrt.builds import NEWEST, write_bundle
from tests.fake_cuda import FakeCuda


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def host(monkeypatch):
    """`host(version) -> tensorrt`: a machine with that version and a GPU."""

    def make(version=NEWEST, **options):
        cuda = FakeCuda(**options).install(monkeypatch)
        trt = fake_tensorrt.install(monkeypatch, cuda, version)
        trt.cuda = cuda
        return trt

    return make
