"""Networks of the smallest kind, for benchmarks that train."""

from __future__ import annotations

STUDENT = {
    "backbone": {
        "name": "PPTSM_v2",
        "num_seg": 4,
        "class_num": 3,
        "scale": 0.25,
        "depths": [1, 1, 1, 1],
        "class_expand": 16,
    },
    "head": {"name": "MoViNetHead"},
}
LOSS = {"name": "DistillationCELoss"}
PAIR = {
    "framework": "RecognizerDistillation",
    "freeze_params_list": [False, False],
    "models": [{"Student": STUDENT}, {"Student2": STUDENT}],
    "loss": {
        "Train": [
            {**LOSS, "model_name_pairs": ["Student", "GroundTruth"]},
            {**LOSS, "model_name_pairs": ["Student2", "GroundTruth"]},
            {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Student2"]},
        ],
        "Val": [{**LOSS, "model_name_pairs": ["Student", "GroundTruth"]}],
    },
}
