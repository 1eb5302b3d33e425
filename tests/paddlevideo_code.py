"""Run PaddleVideo's own code, in a process of its own: `python -m tests.paddlevideo_code JOB.json`.

The job names a checkout and what to do with it; results are written where the job says. Packages
that PaddleVideo imports and that these jobs do not use may be absent.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from benchmarks.training import paddlevideo_code
from tests.weights import reference_weight


def network(job: dict[str, Any]) -> None:
    """Build a config's networks; load `weights` or make some up, save them; logits of `clips`."""
    from paddlevideo.modeling.builder import build_model
    from paddlevideo.utils import get_config

    cfg = get_config(job["config"], overrides=[], show=False)
    blocks = [block for entry in cfg.MODEL.get("models", []) for block in entry.values()]
    for block in blocks or [cfg.MODEL]:
        block["backbone"]["pretrained"] = ""
    model = build_model(cfg.MODEL)
    if "weights" in job:
        weights = paddle.load(job["weights"])
        own = model.state_dict()
        assert weights.keys() == own.keys(), weights.keys() ^ own.keys()
        assert all(list(weights[key].shape) == list(own[key].shape) for key in own)
        model.set_state_dict(weights)
    else:
        for key, value in model.state_dict().items():
            value.set_value(reference_weight(key, list(value.shape)))
    model.eval()
    if "save" in job:
        from paddlevideo.utils import save

        save(model.state_dict(), job["save"], save_student_model="models" in cfg.MODEL)
    with paddle.no_grad():
        logits = model([paddle.to_tensor(np.load(job["clips"]))], mode="infer")
    np.save(job["logits"], logits.numpy())


def pixels(job: dict[str, Any]) -> None:
    """Frames through a config's evaluation transforms: uint8 in, what the network takes out."""
    from paddlevideo.loader.pipelines import Compose
    from paddlevideo.utils import get_config
    from PIL import Image

    cfg = get_config(job["config"], overrides=[], show=False)
    transforms = Compose({"transform": cfg.PIPELINE[job["split"]].transform})
    found = {}
    for name, frames in np.load(job["frames"]).items():
        results = {"imgs": [Image.fromarray(frame) for frame in frames], "backend": "decord"}
        found[name] = np.asarray(transforms(results)["imgs"])
    np.savez(job["pixels"], **found)


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text())
    paddlevideo_code.use(Path(jobs["checkout"]))
    fork = multiprocessing.get_context("fork")
    for job in jobs["jobs"]:
        # A process each: parameters of its ResNets have fixed names, which can be used once.
        process = fork.Process(
            target={"network": network, "pixels": pixels}[job["kind"]], args=(job,)
        )
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{job} ended with {process.exitcode}")


if __name__ == "__main__":
    main()
