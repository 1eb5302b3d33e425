"""Several sets of clips in one analysis: each set is a stratum, and keeps its share of the clips.

A seed is one training of everything on every set; its gain is over the clips of all sets. Resamples
draw seeds, and within each set whole groups of its clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.verdict import Rule, verdict
from benchmarks.stats import paired
from benchmarks.stats.evidence import retained_share
from benchmarks.stats.gains import gain_record
from benchmarks.stats.resample import Bootstrap, Groups, Settings
from benchmarks.stats.shares import share_interval

FORMAT, FORMAT_VERSION = "clipduet-real", 2

Right = npt.NDArray[np.bool_]
Table = Mapping[str, Mapping[str, Right]]
"""By deployment and model, bool [seeds, clips]."""
Gate = Mapping[str, Any]
"""The results of a gate over a set's folds, or several that `earlier.merge_gates` joined."""


def pool_sets(gates: Mapping[str, Gate], rule: Rule, settings: Settings) -> dict[str, Any]:
    """`sets`, a summary each, and `pooled` over all; JSON-ready.

    Args:
        gates: by set, of the same seeds and with one reference.
        rule: what has to be retained.
        settings: of the resampling.

    Raises:
        BenchmarkError: the sets have other numbers of seeds.
    """
    counts = {name: len(gate["pairs"]) for name, gate in gates.items()}
    if len(set(counts.values())) > 1:
        raise BenchmarkError(f"sets of other seeds cannot be pooled: {counts}")
    tables = {name: right_of(gate) for name, gate in gates.items()}
    first = next(iter(gates.values()))
    every = dict.fromkeys(cell for table in tables.values() for cell in table)
    every |= dict.fromkeys(cell for gate in gates.values() for cell in gate.get("lacking", ()))
    cells = [cell for cell in every if all(cell in table for table in tables.values())]
    names = {
        name: [f"{name}/{one}" for one in gate["data"]["groups"]] for name, gate in gates.items()
    }
    joined: dict[str, dict[str, Right]] = {
        cell: {
            model: np.concatenate([table[cell][model] for table in tables.values()], axis=1)
            for model in MODELS
        }
        for cell in cells
    }
    groups = Groups.of(
        [one for each in names.values() for one in each],
        [name for name, each in names.items() for _ in each],
    )
    reference = first["reference"]
    return {
        "reference": reference,
        "cells": cells,
        "left_out": {
            cell: [name for name, table in tables.items() if cell not in table]
            for cell in every
            if cell not in cells
        },
        "sets": [
            {
                "set": name,
                "classes": len(gate["data"]["classes"]),
                "groups": len(set(gate["data"]["groups"])),
                "failed": len(gate["data"]["failed"]),
                **summary(
                    {cell: tables[name][cell] for cell in cells},
                    {name: gate},
                    Groups.of(names[name]),
                    reference=reference,
                    rule=rule,
                    settings=settings,
                ),
            }
            for name, gate in gates.items()
        ],
        "pooled": summary(joined, gates, groups, reference=reference, rule=rule, settings=settings),
    }


def summary(
    table: Table,
    gates: Mapping[str, Mapping[str, Any]],
    groups: Groups,
    *,
    reference: str,
    rule: Rule,
    settings: Settings,
) -> dict[str, Any]:
    """Top-1 against chance, gain, retained gain and verdict by deployment; JSON-ready.

    A deployment fails where its models collapsed in one of the sets, as it does in that set's gate,
    and nothing passes where the reference's did. `collapsed` names these sets.

    Args:
        table: what is right.
        gates: results of the sets that the clips are of, by name.
        groups: of the clips.
        reference: the deployment whose gain counts as whole.
        rule: what has to be retained.
        settings: of the resampling.
    """
    bootstrap: Bootstrap = {**settings, "groups": groups}
    labels = [np.asarray(gate["data"]["labels"]) for gate in gates.values()]
    # Who knows the set answers its most frequent class.
    frequent = np.concatenate([one == np.bincount(one).argmax() for one in labels])
    clips, chance = len(frequent), frequent.mean()
    whole = gain_record(table[reference]["baseline"], table[reference]["student"], bootstrap)
    real = whole["distinguishable"] and whole["point"] > 0
    found = {cell: {name: _verdict(gate, cell) for name, gate in gates.items()} for cell in table}
    collapsed = {
        cell: [
            name for name, one in by_set.items()
            if one["collapsed"] or one.get("collapsed_classes")
        ]
        for cell, by_set in found.items()
    }  # fmt: skip
    rows = {}
    for cell, right in table.items():
        four = [table[key][model] for key in (reference, cell) for model in MODELS]
        drawn = paired.resampled(four, **bootstrap)
        alike = cell == reference or all(one["same_network"] for one in found[cell].values())
        share = retained_share(drawn, same=alike)
        row: dict[str, Any] = {
            "gain": gain_record(right["baseline"], right["student"], bootstrap),
            "retained": share.to_dict() if share is not None else None,
            "meaningful": real,
            "collapsed": collapsed[cell],
            **{model: share_interval(right[model], bootstrap).to_dict() for model in MODELS},
            "above_frequent": gain_record(
                np.broadcast_to(frequent, right["baseline"].shape), right["baseline"], bootstrap
            ),
        }
        if cell != reference:
            row["verdict"] = verdict(
                drawn,
                rule,
                gain_is_real=real,
                same=alike,
                one_class=any(one["collapsed"] for one in found[cell].values()),
                reference_collapsed=bool(collapsed[reference]),
                class_collapsed=any(one["collapsed_classes"] for one in found[cell].values()),
            )
        rows[cell] = row
    return {"clips": clips, "chance": float(chance), "by_cell": rows}


def right_of(gate: Mapping[str, Any]) -> dict[str, dict[str, Right]]:
    """What each deployment's models have right, from a gate's answers."""
    labels = np.asarray(gate["data"]["labels"])
    return {
        row["cell"]: {
            model: np.stack(
                [np.asarray(pair[model]["predictions"]) == labels for pair in row["pairs"]]
            )
            for model in MODELS
        }
        for row in gate["cells"]
    }


def _verdict(gate: Mapping[str, Any], cell: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(row["verdict"] for row in gate["cells"] if row["cell"] == cell)
    return found
