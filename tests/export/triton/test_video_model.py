"""The model for video files with a stand-in for what a Triton server gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from export.triton.__main__ import main
from tests.tiny_bundle import CLASSES, colour_frames, write_bundle

UTILS = """
class Tensor:
    def __init__(self, name, array):
        self.name, self.array = name, array
    def as_numpy(self):
        return self.array

class TritonError(Exception):
    INTERNAL, INVALID_ARG = "internal", "invalid"
    def __init__(self, message, code):
        self.message, self.code = message, code

class InferenceResponse:
    def __init__(self, outputs=(), error=None):
        self.outputs, self.error = outputs, error

class Logger:
    log_error = log_warn = staticmethod(print)

def get_input_tensor_by_name(request, name):
    (tensor,) = (one for one in request if one.name == name)
    return tensor
"""
SERVER = r"""
import json, re, sys
from pathlib import Path
import numpy as np
import triton_python_backend_utils as triton

folder, *requests = json.loads(sys.argv[1])
sys.path.insert(0, str(Path(folder, "1")))
from model import TritonPythonModel

text = Path(folder, "config.pbtxt").read_text()
pairs = re.findall(r'parameters { key: "(\w+)" value { string_value: "(.*)" } }', text)
config = {"max_batch_size": 4, "parameters": {key: {"string_value": value} for key, value in {
    **dict(pairs), "workers": "2", "threads": "1"}.items()}}
model = TritonPythonModel()
model.initialize({"model_config": json.dumps(config), "model_repository": folder,
                  "model_version": "1"})
batch = [[triton.Tensor("video", np.array([[Path(file).read_bytes()] for file in files], object))]
         for files in requests]
found = []
for one in model.execute(batch):
    if one.error is not None:
        found.append([one.error.code, one.error.message])
    else:
        scores, label = one.outputs
        assert (scores.array.dtype, scores.array.shape) == (np.float32, (len(label.array), 3))
        found.append([text.decode() for text in label.array.ravel()])
model.finalize()
print(json.dumps(found))
"""


def serve(folder, installed_name, job):
    """Load the model and answer the requests, as a server does."""
    (folder / "triton_python_backend_utils.py").write_text(UTILS)
    path = os.pathsep.join([str(installed_name), str(folder)])
    return subprocess.run(
        [sys.executable, "-c", SERVER, json.dumps(job)],
        cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip


def test_a_model_that_does_not_warm_up_is_not_loaded(tmp_path, installed_name):
    bundle, repo = write_bundle(tmp_path / "bundle"), tmp_path / "repo"
    assert main(["--bundle", str(bundle), "--out", str(repo)]) == 0
    model = repo / "videos" / "colours_video"
    video = model / "1" / "warmup.mp4"
    video.write_bytes(video.read_bytes()[:200])
    done = serve(tmp_path, installed_name, [str(model)])
    assert done.returncode == 1 and "warmup.mp4" in done.stderr


def test_each_request_of_a_batch_has_its_own_answer(tmp_path, write_clip, installed_name):
    bundle, repo = write_bundle(tmp_path / "bundle"), tmp_path / "repo"
    assert main(["--bundle", str(bundle), "--out", str(repo)]) == 0
    files = {name: str(tmp_path / name) for name in ("text", "cut")}
    for colour in CLASSES:
        files[colour] = str(write_clip(tmp_path / f"{colour}.mp4", colour_frames(colour)))
    (tmp_path / "text").write_text("no video")
    (tmp_path / "cut").write_bytes((tmp_path / "red.mp4").read_bytes()[:200])
    requests = [["red"], ["text"], ["blue", "green", "red"], ["green", "cut"], ["green"]]
    named = [[files[name] for name in names] for names in requests]
    done = serve(tmp_path, installed_name, [str(repo / "videos/colours_video"), *named])
    assert done.returncode == 0, done.stderr
    red, text, three, cut, green = json.loads(done.stdout.splitlines()[-1])
    assert [red, three, green] == [["red"], ["blue", "green", "red"], ["green"]]
    assert text[0] == cut[0] == "invalid" and cut[1].startswith("video 2: ")
    assert str(tmp_path) not in text[1] + cut[1]
