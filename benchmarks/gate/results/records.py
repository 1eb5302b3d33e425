"""The parts of a gate's result file, from what was answered and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.result_file import shown_path, shown_paths
from benchmarks.deployments.accuracy import MODELS, answers_of, is_same_network, largest_difference
from benchmarks.deployments.answers import Answered, Bundles
from benchmarks.deployments.deployment import Choice, Deployment, SkippedDeployment, deployed_bytes
from benchmarks.deployments.logits import logits_key
from benchmarks.gate.accepted import add_accepted
from benchmarks.gate.calibrations import add_calibrations
from benchmarks.gate.compare import compare_cells
from benchmarks.gate.conditions import apply_conditions
from benchmarks.gate.verdict import Rule
from benchmarks.stats.resample import Bootstrap
from infer.bundle.bundle import Bundle
from infer.runtimes.registry import find_artifact
from infer.system.files import sha256_of
from train.data.fingerprint import fingerprint
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation


def cell_rows(
    bundles: Bundles,
    cells: Sequence[Deployment],
    answered: Answered,
    rule: Rule,
    bootstrap: Bootstrap,
    require: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """The result of every cell: the comparison, and what only logits and files can tell.

    Args:
        bundles: by model those of each pair.
        cells: the deployments, the reference first.
        answered: what all models answer.
        rule: what has to be retained.
        bootstrap: settings of the resampling.
        require: limits of conditions besides the gain, by name.
    """
    seen, reference = answered.seen, cells[0].key
    labels = seen["student"][reference][0].labels
    rows = compare_cells(
        labels,
        len(bundles["student"][0].classes),
        {
            model: {
                cell.key: [answers_of(one.logits, labels) for one in seen[model][cell.key]]
                for cell in cells
            }
            for model in MODELS
        },
        reference=reference,
        rule=rule,
        bootstrap=bootstrap,
        same=same_networks(cells, answered, reference),
    )
    for row, cell in zip(rows, cells, strict=True):
        for model in MODELS:
            row[model] |= {
                **_logits_record(seen[model][reference], seen[model][cell.key]),
                "artifact": find_artifact(bundles[model][0], cell.backend, cell.precision).key,
                "bytes": max(deployed_bytes(bundle, cell) for bundle in bundles[model]),
            }
    logits = {
        model: {cell.key: [one.logits for one in seen[model][cell.key]] for cell in cells}
        for model in MODELS
    }
    add_calibrations(rows, logits, reference=reference, labels=labels, bootstrap=bootstrap)
    said = {model: [one.confidence for one in bundles[model]] for model in MODELS}
    add_accepted(rows, logits, said, labels=labels, bootstrap=bootstrap)
    for row in rows[1:]:
        apply_conditions(row, require or {})
    return rows


def same_networks(cells: Sequence[Deployment], answered: Answered, reference: str) -> list[str]:
    """Those that compute what the reference computes, to rounding, in every model."""
    return [
        cell.key
        for cell in cells
        if all(
            is_same_network(cell, base.logits, own.logits)
            for seen in answered.seen.values()
            for base, own in zip(seen[reference], seen[cell.key], strict=True)
        )
    ]


def _logits_record(base: Sequence[Evaluation], own: Sequence[Evaluation]) -> dict[str, Any]:
    """The largest difference of a logit and the largest logit, of all pairs."""
    gaps = [largest_difference(a.logits, b.logits)[0] for a, b in zip(base, own, strict=True)]
    sizes = [np.abs(a.logits[~np.isnan(a.logits)]).max(initial=0.0) for a in base]
    # JSON has no NaN; where no clip could be read there is no figure.
    known = [gap for gap in gaps if not np.isnan(gap)]
    return {
        "max_logit_difference": float(max(known)) if known else None,
        "max_logit": float(max(sizes)),
    }


def data_record(
    data: Path, root: Path | None, samples: Sequence[Sample], seen: Evaluation, bundle: Bundle
) -> dict[str, Any]:
    """The list, what could not be read of it, and the labels."""
    return {
        "list": str(data),
        "sha256": sha256_of(data),
        "clips_sha256": fingerprint(samples),
        "root": str(root) if root is not None else None,
        "listed": len(seen.paths),
        "decoded": len(seen.paths) - len(seen.failed),
        "failed": [
            {"path": shown_path(path, root), "error": reason} for path, reason in seen.failed
        ],
        "classes": list(bundle.classes),
        "clip_shape": list(bundle.spec.clip_shape),
        "labels": seen.labels.tolist(),
        "paths": shown_paths(seen.paths, root),
    }


def logits_of(answered: Answered) -> dict[str, np.ndarray]:
    """What every model computed, by `MODEL/PAIR/CELL`, pairs from 0: float32 [clips, classes]."""
    return {
        logits_key(model, pair, cell): one.logits
        for model, cells in answered.seen.items()
        for cell, pairs in cells.items()
        for pair, one in enumerate(pairs)
    }


def choice_record(choice: Choice, left_out: Sequence[SkippedDeployment]) -> dict[str, Any]:
    """The reference, and what was left out with its reason, also when it was to be run."""
    return {
        "reference": choice.reference.key,
        "reference_instead_of": choice.instead_of,
        "left_out": [asdict(one) for one in (*choice.left_out, *left_out)],
    }


def bundle_record(bundle: Bundle) -> dict[str, Any]:
    """What a bundle is and where it came from."""
    origin = dict(bundle.raw.get("origin", {}))
    origin.setdefault("created", bundle.raw.get("created"))
    return {
        "path": str(bundle.root),
        "name": bundle.name,
        "model": dict(bundle.model),
        "origin": origin,
        "spec": bundle.spec.to_dict(),
        "files": {
            key: {file.file: file.sha256 for file in artifact.files}
            for key, artifact in bundle.artifacts.items()
        },
    }
