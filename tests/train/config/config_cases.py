"""A config in PaddleVideo's layout, and what the tests of configs do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.config.load import ConfigError, load_config

# The layout and the quirks of PaddleVideo's files, smaller: bare transforms, 1e-4, quoted names,
# keys of its own logger, metrics and decoders.
PAIR = """
MODEL:
    framework: "RecognizerDistillation"
    freeze_params_list:
    - False
    - False
    models:
    - Teacher:
        backbone:
            name: "ResNetTweaksTSM"
            depth: 18
            width: 0.25
            num_seg: 4
        head:
            name: "ppTSMHead"
            num_classes: 3
            in_channels: 128
            num_seg: 4
    - Student:
        backbone:
            name: "PPTSM_v2"
            scale: 0.25
            depths: [1, 1, 2, 1]
            num_seg: 4
            class_num: 3
        head:
            name: "MoViNetHead"
    loss:
        Train:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
            - name: "DistillationCELoss"
              model_name_pairs: ["Teacher", "GroundTruth"]
            - name: "DistillationDMLLoss"
              loss_weight: 2
              ramp: [0.25, 0.5]
              model_name_pairs: ["Student", "Teacher"]
        Val:
            - name: "DistillationCELoss"
              model_name_pairs: ["Student", "GroundTruth"]
DATASET:
    batch_size: 4
    num_workers: 0
    train:
        format: "VideoDataset"
        data_prefix: "videos"
        file_path: "train.list"
    valid:
        format: "VideoDataset"
        data_prefix: "videos"
        file_path: "val.list"
PIPELINE:
    train:
        decode:
            name: "VideoDecoder"
            backend: "decord"
        sample:
            name: "Sampler"
            num_seg: 4
            seg_len: 1
            valid_mode: False
        transform:
            - Scale:
                short_size: 64
            - MultiScaleCrop:
                target_size: 64
            - RandomCrop:
                target_size: 48
            - RandomFlip:
            - Image2Array:
            - Normalization:
                mean: [0.485, 0.456, 0.406]
                std: [0.229, 0.224, 0.225]
    valid:
        decode:
            name: "VideoDecoder"
            backend: "decord"
        sample:
            name: "Sampler"
            num_seg: 4
            seg_len: 1
            valid_mode: True
        transform:
            - Scale:
                short_size: 64
            - CenterCrop:
                target_size: 48
            - Image2Array:
            - Normalization:
                mean: [0.485, 0.456, 0.406]
                std: [0.229, 0.224, 0.225]
OPTIMIZER:
  name: 'Momentum'
  momentum: 0.9
  learning_rate:
    iter_step: True
    name: 'CustomWarmupCosineDecay'
    max_epoch: 12
    warmup_epochs: 2
    warmup_start_lr: 5e-3
    cosine_base_lr: 0.01
  weight_decay:
    name: 'L2'
    value: 1e-4
  use_nesterov: True
MIX:
    name: "Mixup"
    alpha: 0.2
METRIC:
    name: 'CenterCropMetric'
INFERENCE:
    name: 'ppTSM_Inference_helper'
    num_seg: 4
    target_size: 48
model_name: "pair"
epochs: 12
log_level: "INFO"
"""


def write(folder: Path, **files: str) -> Path:
    """Files NAME.yaml in a folder."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def mistakes(file: Path, *overrides: str) -> dict[str, str]:
    """What is said of a wrong config, by its place."""
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return {".".join(map(str, m.where)): m.text for m in caught.value.mistakes}
