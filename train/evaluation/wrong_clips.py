"""A page with the most confident mistakes: some frames of each clip, label and answer.

One HTML file with its pictures in it; it loads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from infer.clips.contact_sheet import contact_sheet
from infer.clips.jpeg import data_uri
from infer.system.errors import VideoError
from infer.system.files import write_text
from infer.system.terminal import printable
from train.evaluation.answers import Answers
from train.evaluation.evaluate import ListedClips

MOST = 24
"""Mistakes that are shown."""
FRAMES = 6
"""Frames of a clip, evenly spread."""
HEIGHT = 96
"""Pixels."""

_STYLE = (
    "body{font:14px sans-serif;margin:2em;color:#222;background:#fff}"
    "figure{margin:0 0 1.5em}img{display:block;max-width:100%}figcaption{margin:.3em 0}"
    ".path{color:#777;word-break:break-all}"
)


def write_wrong_clips(
    file: Path, answers: Answers, dataset: ListedClips, names: Sequence[str]
) -> None:
    """Write the page; clips that could not be read are counted.

    Args:
        file: the HTML file.
        answers: to the clips of `dataset`, in its order.
        dataset: reads the clips as evaluation does.
        names: of the classes, by label.
    """
    wrong = np.flatnonzero((answers.predictions != answers.labels) & (answers.predictions >= 0))
    order = wrong[np.argsort(-answers.confidences[wrong], kind="stable")][:MOST]
    failed = int((answers.predictions < 0).sum())
    listed = len(answers.labels)
    head = f"{len(wrong)} of {listed} clips have a wrong answer"
    unread = f"; {failed} could not be read" if failed else ""
    which = f", the {len(order)} most confident ones below" if len(order) < len(wrong) else ""
    body = [f"<h1>Wrong answers</h1><p>{head}{which}{unread}.</p>"]
    body += [_figure(answers, dataset, names, index) for index in order.tolist()]
    write_text(
        file,
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Wrong answers</title>'
        f"<style>{_STYLE}</style>{''.join(body)}</html>\n",
    )


def _figure(answers: Answers, dataset: ListedClips, names: Sequence[str], index: int) -> str:
    label, guess = names[answers.labels[index]], names[answers.predictions[index]]
    text = f"<b>{_safe(guess)}</b> {answers.confidences[index]:.0%}, labelled <b>{_safe(label)}</b>"
    path = f'<div class="path">{_safe(answers.paths[index])}</div>'
    return f"<figure>{_picture(dataset, index)}<figcaption>{text}{path}</figcaption></figure>"


def _picture(dataset: ListedClips, index: int) -> str:
    try:
        clips, _ = dataset.read(index, rng=None)
    except VideoError as error:  # it could be read before
        return f"<p>{_safe(error.reason)}</p>"
    sheet = contact_sheet(clips[len(clips) // 2], frames=FRAMES, height=HEIGHT)
    return f'<img alt="frames of the clip" src="{data_uri(sheet)}">'


def _safe(text: str) -> str:
    return escape(printable(text))
