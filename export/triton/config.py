"""config.pbtxt: how a Triton server runs a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infer.bundle.bundle import Bundle

LABELS = "labels.txt"
WAITING = 256
"""Requests of videos that wait for a model; a server refuses more, as each holds a whole file."""
LATEST = "version_policy { latest { num_versions: 1 } }"
"""The highest version is served; once it is ready, the one before it ends."""


@dataclass(frozen=True)
class Serving:
    """How a server runs a model.

    kind        KIND_AUTO: on GPUs if there are any; KIND_GPU, KIND_CPU
    instances   copies that run side by side, on each device
    delay       microseconds that a request waits for others to share its batch
    """

    kind: str = "KIND_AUTO"
    instances: int = 1
    delay: int = 2000


@dataclass(frozen=True)
class RepositoryModel:
    """One folder of the repository: a file, the backend that runs it, the batches it takes."""

    name: str
    backend: str
    file: Path
    max_batch: int
    opt_batch: int
    serving: Serving


@dataclass(frozen=True)
class VideoModel:
    """The folder of the model that takes video files.

    network     name of the model that runs the network; "": this one does, by ONNX Runtime
    precision   of the network
    """

    name: str
    network: str
    precision: str
    max_batch: int
    serving: Serving


def write_labels(folder: Path, bundle: Bundle) -> None:
    """Write the names of the classes into a model's folder, for Triton's classification."""
    (folder / LABELS).write_text("".join(f"{label}\n" for label in bundle.classes), "utf-8")


def config_text(model: RepositoryModel, bundle: Bundle) -> str:
    """A model's config.pbtxt. Dimensions leave the batch out; one clip and a full batch warm up."""
    clip = ", ".join(map(str, bundle.spec.clip_shape))
    entry, output = json.dumps(bundle.input_name), json.dumps(bundle.output_name)
    warmups = "".join(
        f"""
  {{
    name: "{size} clips"
    batch_size: {size}
    inputs {{
      key: {entry}
      value {{ data_type: TYPE_UINT8 dims: [ {clip} ] random_data: true }}
    }}
  }}"""
        + ("," if size != model.max_batch else "")
        for size in sorted({1, model.max_batch})
    )
    return f"""\
name: "{model.name}"
backend: "{model.backend}"
max_batch_size: {model.max_batch}
input [ {{ name: {entry} data_type: TYPE_UINT8 dims: [ {clip} ] }} ]
output [
  {{
    name: {output}
    data_type: TYPE_FP32
    dims: [ {len(bundle.classes)} ]
    label_filename: "{LABELS}"
  }}
]
dynamic_batching {{
  preferred_batch_size: [ {model.opt_batch} ]
  max_queue_delay_microseconds: {model.serving.delay}
}}
instance_group [ {{ count: {model.serving.instances} kind: {model.serving.kind} }} ]
{LATEST}
model_warmup [{warmups}
]
"""


def video_config_text(model: VideoModel, bundle: Bundle, settings: Mapping[str, object]) -> str:
    """The config.pbtxt of the model that takes video files, which warms up by itself.

    Args:
        model: what is written.
        bundle: has the classes.
        settings: parameters of video_model.py.
    """
    parameters = "\n".join(
        f"parameters {{ key: {json.dumps(key)} "
        f"value {{ string_value: {json.dumps(str(value))} }} }}"
        for key, value in settings.items()
    )
    return f"""\
name: "{model.name}"
backend: "python"
max_batch_size: {model.max_batch}
input [ {{ name: "video" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [
  {{
    name: "scores"
    data_type: TYPE_FP32
    dims: [ {len(bundle.classes)} ]
    label_filename: "{LABELS}"
  }},
  {{ name: "label" data_type: TYPE_STRING dims: [ 1 ] }}
]
dynamic_batching {{
  max_queue_delay_microseconds: {model.serving.delay}
  default_queue_policy {{ max_queue_size: {WAITING} }}
}}
instance_group [ {{ count: {model.serving.instances} kind: KIND_CPU }} ]
{LATEST}
{parameters}
"""
