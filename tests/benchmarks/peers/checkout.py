"""A small stand-in for a checkout of PaddleVideo: the same files, functions and answers.

Its network is ours, and so is its reading, but for files whose names say otherwise: `differs` has
other frames, `unread` raises, `crash` ends the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]

UTILS = """
import os
import sys

sys.path.append({root!r})
import numpy as np
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec


class Helper:
    def __init__(self, cfg):
        sampling = SamplingSpec(num_seg=cfg["num_seg"])
        size = dict(short_size=cfg["short_size"], crop=cfg["target_size"])
        self.spec = ClipSpec(sampling, PreprocessSpec(resize="pil", **size))

    def preprocess_batch(self, files):
        clips = []
        for file in files:
            if "unread" in file:
                raise RuntimeError("cannot read this")
            if "crash" in file:
                os._exit(9)
            clip = load_clips(file, self.spec)[0]
            clips.append(clip[:, ::-1] if "differs" in file else clip)
        pixels = self.spec.preprocess
        floats = np.concatenate(clips).astype(np.float32) / 255
        normal = (floats - np.float32(pixels.mean)) / np.float32(pixels.std)
        self.count = len(files)
        return [normal.transpose(0, 1, 4, 2, 3)]

    def postprocess(self, output, print_output=True):
        assert len(output[0]) == self.count and not print_output


def build_inference_helper(cfg):
    print("PaddleVideo prints this")
    return Helper(cfg)
"""

EXPORT_MODEL = """
import json
import shutil
import sys
from pathlib import Path


def main():
    given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    folder = Path(given["-o"])
    (folder / "net.json").write_text(json.dumps(given["-c"]))
    shutil.copy(given["-p"], folder / "net.pdiparams")
"""

PREDICT = """
import json
from pathlib import Path
from types import SimpleNamespace

import utils
import yaml


class Config:
    def __init__(self, program, parameters):
        self.program, self.parameters, self.enabled = program, parameters, set()

    def enable_new_ir(self, on):
        self.enabled.add("ir")

    def enable_new_executor(self, on):
        self.enabled.add("executor")


class Handle:
    def copy_from_cpu(self, value):
        self.value = value

    def copy_to_cpu(self):
        return self.value


class Predictor:
    def __init__(self, config):
        import paddle
        from train.config.load import load_config
        from train.distill.build_recognizer import build_recognizer

        cfg = load_config(json.loads(Path(config.program).read_text()))
        self.recognizer = build_recognizer(cfg.model, seed=99)
        left = self.recognizer.set_state_dict(paddle.load(config.parameters))
        assert not any(left), left
        self.recognizer.eval()
        self.handles = {"in": Handle(), "out": Handle()}

    def get_input_names(self):
        return ["in"]

    def get_output_names(self):
        return ["out"]

    def get_input_handle(self, name):
        return self.handles[name]

    get_output_handle = get_input_handle

    def run(self):
        import paddle

        clips = paddle.to_tensor(self.handles["in"].value)
        with paddle.no_grad():
            logits = self.recognizer.student(clips.reshape([-1, *clips.shape[2:]]))
        self.handles["out"].value = logits.numpy()


def get_config(file, overrides, show):
    return SimpleNamespace(**yaml.safe_load(Path(file).read_text()))


def create_paddle_predictor(args, cfg):
    assert args.enable_mkldnn and not args.use_gpu and args.cpu_threads == 1
    config = Config(args.model_file, args.params_file)
    assert config.enabled == {"ir", "executor"}
    return config, Predictor(config)
"""


def make_checkout(folder: Path, *, imports: tuple[str, ...] = ()) -> Path:
    """Write the stand-in; its tools import `imports` too."""
    (folder / "paddlevideo").mkdir(parents=True)
    (folder / "tools").mkdir()
    more = "".join(f"import {name}\n" for name in imports)
    tools = folder / "tools"
    (tools / "utils.py").write_text(more + UTILS.format(root=str(ROOT)))
    (tools / "export_model.py").write_text(EXPORT_MODEL)
    (tools / "predict.py").write_text(PREDICT)
    return folder


def write_yaml(file: Path, **backbone: Any) -> Path:
    """A config in PaddleVideo's form, for clips of four frames of 32 x 32 and three classes."""
    transform = [
        {"Scale": {"short_size": 32}},
        {"CenterCrop": {"target_size": 32}},
        {"Image2Array": None},
        {"Normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    ]
    pipeline = {
        "decode": {"name": "VideoDecoder"},
        "sample": {"name": "Sampler", "num_seg": 4, "seg_len": 1, "valid_mode": True},
        "transform": transform,
    }
    listed = {"format": "VideoDataset", "data_prefix": "", "file_path": "none.list"}
    config = {
        "MODEL": {
            "framework": "Recognizer2D",
            "backbone": {"name": "PPTSM_v2", "num_seg": 4, "class_num": 3, **backbone},
            "head": {"name": "MoViNetHead"},
        },
        "DATASET": {"batch_size": 2, "num_workers": 0, "train": listed, "valid": listed},
        "PIPELINE": {
            "train": {
                **pipeline,
                "sample": {**pipeline["sample"], "valid_mode": False},
                "transform": [transform[0], {"RandomCrop": {"target_size": 32}}, *transform[2:]],
            },
            "valid": pipeline,
        },
        "OPTIMIZER": {
            "name": "AdamW",
            "learning_rate": {"name": "Constant", "learning_rate": 0.001},
        },
        "INFERENCE": {
            "name": "ppTSM_Inference_helper", "num_seg": 4, "short_size": 32, "target_size": 32,
        },
        "model_name": "ppTSMv2",
        "epochs": 1,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(config))
    return file
