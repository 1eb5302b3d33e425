"""PaddleVideo's own export and predictor, behind a pipe: `PYTHON paddlevideo_server.py CHECKOUT`.

It runs in a process and, where need be, in an environment of its own, so it imports nothing but the
standard library and PaddleVideo's code. Each line of its standard input is a request in JSON, each
line of its standard output the answer. What PaddleVideo prints goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

MODULES = ("utils", "export_model", "predict")
"""Of the checkout's `tools`, which its documentation runs as programs."""
OWN = ("paddlevideo", "tools", *MODULES)
MOST_MISSING = 50
PACKAGES = (
    "paddlepaddle", "paddlepaddle-gpu", "decord", "numpy", "opencv-python",
    "opencv-python-headless", "pillow",
)  # fmt: skip


class Missing(Exception):
    """Packages that PaddleVideo imports and that are not installed."""


def import_tools(checkout: Path) -> list[Any]:
    """The `MODULES` of a checkout.

    Raises:
        Missing: names all packages that it needs and that are not there.
    """
    sys.path[:0] = [str(checkout / "tools"), str(checkout)]
    missing: list[str] = []
    while True:
        try:
            found = [importlib.import_module(name) for name in MODULES]
        except ModuleNotFoundError as error:
            if error.name is None or error.name in missing or len(missing) == MOST_MISSING:
                raise
            # Something stands for it, so that the next one that is missing is found.
            missing.append(error.name)
            sys.modules[error.name] = mock.MagicMock()
            for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
                del sys.modules[name]
        except Exception:
            if not missing:
                raise
            break  # something that stands for a package did not do
        else:
            break
    if missing:
        raise Missing(", ".join(sorted({name.split(".")[0] for name in missing})))
    return found


class Peer:
    """The tools of a checkout, and the predictor that they made."""

    def __init__(self, checkout: Path) -> None:
        self.utils, self.export_model, self.predict = import_tools(checkout)
        config = self.predict.Config

        def config_of(program: str, parameters: str) -> Any:
            made = config(program, parameters)
            if program.endswith(".json"):
                # Without these two, Paddle 3 refuses what the checkout's tools set below.
                made.enable_new_ir(True)
                made.enable_new_executor(True)
            return made

        self.predict.Config = config_of

    def versions(self) -> dict[str, Any]:
        """Of Python, and of those of `PACKAGES` that are installed."""
        packages = {}
        for name in PACKAGES:
            try:
                packages[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return {"python": sys.version.split()[0], "packages": packages}

    def open(self, config: str, weights: str, folder: str, threads: int) -> None:
        """Export the config's network with these weights, and load it for `tools/predict.py`."""
        sys.argv = ["export_model.py", "-c", config, "-p", weights, "-o", folder]
        self.export_model.main()
        cfg = self.predict.get_config(config, overrides=[], show=False)
        program, parameters = (self._file(folder, kind) for kind in ("program", "parameters"))
        options = argparse.Namespace(
            model_file=program, params_file=parameters, use_gpu=False, use_npu=False, use_xpu=False,
            enable_mkldnn=True, cpu_threads=threads, precision="fp32", ir_optim=True,
            use_tensorrt=False, disable_glog=True, batch_size=1,
        )  # fmt: skip
        self.helper = self.utils.build_inference_helper(cfg.INFERENCE)
        _, self.predictor = self.predict.create_paddle_predictor(options, cfg)
        names = self.predictor.get_input_names(), self.predictor.get_output_names()
        self.inputs = [self.predictor.get_input_handle(name) for name in names[0]]
        self.outputs = [self.predictor.get_output_handle(name) for name in names[1]]

    @staticmethod
    def _file(folder: str, kind: str) -> str:
        """What the export wrote: Paddle 3 writes its program as JSON, Paddle 2 as `.pdmodel`."""
        endings = (".json", ".pdmodel") if kind == "program" else (".pdiparams",)
        found = [path for path in Path(folder).iterdir() if path.suffix in endings]
        if len(found) != 1:
            raise RuntimeError(f"the export wrote no {kind}: {sorted(os.listdir(folder))}")
        return str(found[0])

    def answer(self, files: list[str], batch_size: int) -> dict[str, Any]:
        """The loop of `tools/predict.py`, with a clock between its steps.

        Returns:
            `logits` of every file, `seconds` by stage of every batch, and `total` seconds.
        """
        logits, stages = [], []
        start = time.perf_counter()
        for first in range(0, len(files), batch_size):
            begun = time.perf_counter()
            inputs = self.helper.preprocess_batch(files[first : first + batch_size])
            ready = time.perf_counter()
            for handle, given in zip(self.inputs, inputs):  # noqa: B905 as in tools/predict.py
                handle.copy_from_cpu(given)
            self.predictor.run()
            outputs = [handle.copy_to_cpu() for handle in self.outputs]
            answered = time.perf_counter()
            self.helper.postprocess(outputs, False)
            end = time.perf_counter()
            logits.append(outputs[0])
            stages.append(
                {
                    "prepare": ready - begun,
                    "network": answered - ready,
                    "rest": end - answered,
                    "total": end - begun,
                }
            )
        total = time.perf_counter() - start
        rows = [[float(value) for value in row] for batch in logits for row in batch]
        return {"logits": rows, "seconds": stages, "total": total}


def serve(checkout: Path, *, answers: int) -> None:
    """Answer requests until there are no more.

    Args:
        checkout: of PaddleVideo.
        answers: file descriptor that answers are written to.
    """
    peer: Peer | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if peer is None:
                peer = Peer(checkout)
            call: Callable[..., Any] = getattr(peer, request.pop("do"))
            answer = {"value": call(**request)}
        except Missing as error:
            answer = {"missing": str(error)}
        except (Exception, SystemExit) as error:  # whatever another project's code raises
            said = " ".join(str(error).split())[:400]
            answer = {"problem": f"{type(error).__name__}: {said}" if said else repr(error)}
        data = (json.dumps(answer) + "\n").encode()
        while data:
            data = data[os.write(answers, data) :]


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file
    kept = os.dup(1)
    os.dup2(2, 1)
    serve(Path(sys.argv[1]), answers=kept)
