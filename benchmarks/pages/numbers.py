"""Numbers as plain sentences: what they say, and just as plainly what they do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RUNTIMES = {
    "paddle": "Paddle Inference",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime-cuda": "ONNX Runtime CUDA",
    "onnxruntime-tensorrt": "ONNX Runtime TensorRT",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
    "dynamic": "Paddle (dynamic graph)",
}

NOT_DISTINGUISHABLE = "not distinguishable from zero"
NOT_ESTIMABLE = "not estimable"


def cell_name(key: str) -> str:
    """Name a cell for people: onnxruntime:int8 is ONNX Runtime int8."""
    backend, _, precision = key.partition(":")
    return f"{RUNTIMES.get(backend, backend)} {precision}".strip()


def short_name(key: str) -> str:
    """The same where there is little room: ORT int8."""
    return cell_name(key).replace("ONNX Runtime", "ORT").replace("Paddle Inference", "Paddle")


def joined(names: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent; None is a bound that the data do not set."""
    return "unbounded" if value is None else f"{100 * value:.{digits}f} %".replace("-", "\u2212")


def points(value: float | None, digits: int = 2) -> str:
    """A difference of shares in percentage points, always with its sign."""
    if value is None:
        return "unbounded"
    text = f"{100 * value:+.{digits}f}"
    # A rounded zero has no direction.
    return text.replace("-", "+") if float(text) == 0 else text.replace("-", "\u2212")


def interval(value: Mapping[str, Any], *, share: bool = False) -> str:
    """Estimate and bounds: +1.20 [+0.40, +2.00] in points, 92 % [60 %, unbounded] as a share.

    Where resampling found no spread at all, that is no certainty but a lack of differing answers.
    """
    show = (lambda x: percent(x, 0)) if share else points
    if value["low"] == value["high"]:
        return f"{show(value['point'])} [{NOT_ESTIMABLE}]"
    return f"{show(value['point'])} [{show(value['low'])}, {show(value['high'])}]"


def span(value: Mapping[str, Any]) -> str:
    """The bounds alone, in points: +0.40 to +2.00."""
    if value["low"] == value["high"]:
        return NOT_ESTIMABLE
    return f"{points(value['low'])} to {points(value['high'])}"


def p_value(p: float | None) -> str:
    """A p-value to three digits; with several pairs there is none."""
    if p is None:
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, three digits that count."""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def size(value: float) -> str:
    """Bytes in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.2f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def gain_sentence(cell: str, gain: Mapping[str, Any]) -> str:
    """What the second model gained on the first in one cell."""
    name, much = cell_name(cell), f"{abs(100 * gain['point']):.2f} points"
    sure = f"{level(gain)} interval {span(gain)}{_tested(gain)}"
    counts = (
        f"one training of each, {gain['only_second']} clips right only with it, "
        f"{gain['only_first']} only without"
    )
    if gain.get("pairs", 1) > 1:
        counts = (
            f"of {gain['pairs']} pairs {gain['pairs_gaining']} gain and {gain['pairs_losing']} lose"
        )
    if gain["distinguishable"]:
        verb = "gains" if gain["point"] > 0 else "loses"
        said = f"In {name} the DML student {verb} {much} of top-1 ({sure}): {counts}"
        by_pairs = gain.get("by_pairs")
        if by_pairs is not None and by_pairs["low"] <= 0 <= by_pairs["high"]:
            return f"{said}; but the pairs alone, being few, do not settle it ({span(by_pairs)})."
        return f"{said}."
    if gain["only_first"] + gain["only_second"] == 0:
        return (
            f"In {name} both models answer every one of the {gain['clips']} clips equally well: "
            f"the gain is zero, {NOT_DISTINGUISHABLE}."
        )
    if gain["point"] == 0:
        return f"In {name} the gain is {NOT_DISTINGUISHABLE} ({sure}): {counts}."
    word = "gain" if gain["point"] > 0 else "loss"
    return (
        f"In {name} the measured {word} of {much} of top-1 is {NOT_DISTINGUISHABLE} ({sure}): "
        f"{counts}."
    )


def left_sentences(results: Mapping[str, Any]) -> list[str]:
    """How much of the reference's gain the deployments keep; those that change nothing in one."""
    reference = results["reference"]
    others = [row for row in results["cells"] if row["cell"] != reference]
    still = [cell_name(row["cell"]) for row in others if unchanged(row)]
    said = []
    if still:
        verb = "changes" if len(still) == 1 else "change"
        said.append(
            f"{joined(still)} {verb} nothing: the gain is that of {cell_name(reference)} to the "
            "last clip."
        )
    return said + [left_sentence(row, reference) for row in others if not unchanged(row)]


def left_sentence(row: Mapping[str, Any], reference: str) -> str:
    """How much of the reference's gain a deployment keeps that changed some answers."""
    name, whole = cell_name(row["cell"]), cell_name(reference)
    change, left = row["gain_change"], row["gain_left"]
    if change["distinguishable"]:
        verb = "adds to" if change["point"] > 0 else "takes from"
        moved = f"{name} {verb} the gain: {interval(change)} points"
    else:
        moved = (
            f"The change of the gain in {name} is {NOT_DISTINGUISHABLE}: {interval(change)} points"
        )
    if not left["meaningful"] or left["share"] is None:
        return (
            f"{moved}. A share of the gain that is left would not be meaningful here, because the "
            f"gain in {whole} itself is not a clear gain."
        )
    share = interval(left["share"], share=True)
    if left["share"]["point"] <= 0:
        return f"{moved}. Nothing of the gain in {whole} is left (share: {share})."
    return f"{moved}. Of the gain in {whole}, {share} is left."


def unchanged(row: Mapping[str, Any]) -> bool:
    """True where deployment moved no clip at all, in either model."""
    changes = [row[model]["change"] for model in ("baseline", "student")]
    return not any(one["only_first"] + one["only_second"] for one in changes)


def change_sentence(model: str, cell: str, reference: str, part: Mapping[str, Any]) -> str:
    """What deployment did to one model."""
    change = part["change"]
    who = "the DML student" if model == "student" else "the baseline"
    same = f"{percent(part['agreement'], 2)} of its answers are those of {cell_name(reference)}"
    if change["only_first"] + change["only_second"] == 0:
        return f"{cell_name(cell)}, {who}: no clip turned right or wrong; {same}."
    if change["distinguishable"]:
        verb = "gains" if change["point"] > 0 else "loses"
        return (
            f"{cell_name(cell)}, {who}: {verb} {abs(100 * change['point']):.2f} points "
            f"({level(change)} interval {span(change)}{_tested(change)}); {same}."
        )
    return (
        f"{cell_name(cell)}, {who}: the change of {interval(change)} points is "
        f"{NOT_DISTINGUISHABLE}{_tested(change)}; {same}."
    )


def _tested(value: Mapping[str, Any]) -> str:
    """The p-value of McNemar's test, where there is one pair."""
    return "" if value["p"] is None else f"; {p_value(value['p'])}"


def level(value: Mapping[str, Any]) -> str:
    """The confidence level of an interval."""
    return f"{100 * value.get('level', 0.95):.0f} %"


def study_sentence(study: Mapping[str, Any], cell: str) -> str:
    """The pooled gain of a study in one deployment, and whether it can be told from zero."""
    pooled, seeds = study["pooled"][cell], len(study["seeds"])
    gain = pooled["crossed"]
    text = (
        f"Over {seeds} {'seed' if seeds == 1 else 'seeds'} and {study['data']['listed']} clips, "
        f"in {cell_name(cell)}, the mean gain of the DML student is {points(gain['point'])} points "
        f"({level(gain)} interval {span(gain)})"
    )
    if not pooled["distinguishable"]:
        return f"{text}: {NOT_DISTINGUISHABLE}."
    word = "gain" if gain["point"] > 0 else "loss"
    if seeds == 1:
        return f"{text}: a {word} with this seed; one seed says nothing about others."
    more = "more" if gain["point"] > 0 else "fewer"
    count = pooled["seeds_gaining"] if gain["point"] > 0 else pooled["seeds_losing"]
    text += f": a {word}, with {more} right answers in {count} of {seeds} seeds"
    if pooled["distinguishable_by_seeds"]:
        return f"{text}; the seeds alone confirm it ({span(pooled['seeds'])})."
    return f"{text}; but {unsettled(pooled)}."


def unsettled(pooled: Mapping[str, Any]) -> str:
    """What to say of a gain that is one over seeds and clips, and not over seeds alone."""
    return f"the seeds alone, being few, do not settle it ({span(pooled['seeds'])})"
