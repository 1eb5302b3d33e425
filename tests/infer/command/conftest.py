"""What the tests of predict's command share."""

from __future__ import annotations

import pytest

from infer.command import delivery
from infer.predict import main


@pytest.fixture
def bundle(make_bundle):
    return make_bundle()


@pytest.fixture
def ask(bundle, tmp_path, monkeypatch, capsys):
    """`ask("v", "--top-k", "2")`: status, stdout, stderr of a command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        capsys.readouterr()
        status = main(["--bundle", str(bundle), "--threads", "1", "--video", *map(str, args)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def stop_after(monkeypatch):
    """`stop_after(3)`: the next run is interrupted after three predictions."""

    def arrange(many):
        real = delivery.predict_videos

        def stopping(videos, *args, **options):
            for done, prediction in enumerate(real(videos, *args, **options)):
                if done == many:
                    monkeypatch.setattr(delivery, "predict_videos", real)
                    raise KeyboardInterrupt
                yield prediction

        monkeypatch.setattr(delivery, "predict_videos", stopping)

    return arrange
