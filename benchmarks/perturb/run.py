"""Measure into a folder, and say what came out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.result_file import dump
from benchmarks.deployments.logits import logits_path, write_logits
from benchmarks.gate.options import exit_status
from benchmarks.perturb.cameras import chosen_names
from benchmarks.perturb.conditions import of_perturbed, parse_requirements
from benchmarks.perturb.figures import word
from benchmarks.perturb.measure import measure
from benchmarks.perturb.report import PAGES, write_report
from benchmarks.perturb.result_file import overall
from benchmarks.perturb.sections import sentences
from export.option_limits import folder_problems
from infer.system.files import check_writable, write_text

RESULT = "results.json"


def problems_beside_gate(options: argparse.Namespace, folder: Path) -> list[str]:
    """What is wrong with `--perturb` and `--require` of the gate, as far as they are about this.

    Args:
        options: of the gate.
        folder: that the result would be written to.
    """
    names, wrong = chosen_names(options.perturb)
    required = of_perturbed(options.require)
    if options.perturb:
        wrong += parse_requirements(required, names)[1] + folder_problems("perturb", folder)
    elif required:
        wrong.append(f"--require {required[0]} is about perturbed clips; name some with --perturb")
    return wrong


def measure_into(
    folder: Path, options: argparse.Namespace, *, names: Sequence[str], count: int, cache: Path
) -> dict[str, Any]:
    """Measure, write result, logits and report into a folder, and print what came out.

    Args:
        folder: for `results.json`, `logits.npz` and the pages.
        options: see `benchmarks.perturb.measure.measure`, as the others.
        names: of perturbations.
        count: clips to take; 0: all.
        cache: folder of answers.
    """
    file = folder / RESULT
    for one in (file, logits_path(file), *(folder / name for name in PAGES)):
        check_writable(one)
    results, logits = measure(options, names=names, count=count, cache=cache)
    results["logits"] = write_logits(file, logits)
    write_text(file, dump(results))
    write_report(results, folder)
    for line in sentences(results):
        print(line)
    print(f"written: {file}, {', '.join(PAGES)}")
    return results


def verdict_status(results: Mapping[str, Any], options: argparse.Namespace) -> int:
    """The exit status that verdicts, `--strict` and `--tell-only` give."""
    return exit_status(
        options,
        overall=overall(results),
        verdicts=[word(row) for row in results["rows"]],
        failure="under a perturbation a verdict fails, or one was not measured",
    )
