"""`python -m train.init --clips DIR`: from folders of clips to lists and configs.

It writes `train.list`, `val.list`, `test.list`, `classes.txt`, `baseline.yaml`, `dml.yaml` and the
`teacher.yaml` that this one starts with, and says which commands go on from there.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system import hardware
from infer.system.errors import ClipDuetError, os_reason
from infer.system.files import write_text
from train.config.class_file import class_lines
from train.config.load import load_config
from train.data.class_folders import Clip, about_no_class, can_hold, find_clips, no_class
from train.data.class_table import class_table
from train.data.groups import AUTO, find_groups
from train.data.lists import Sample
from train.init.choices import choose, this_machine
from train.init.configs import BASELINE, DML, TEACHER, baseline, mutual, teacher
from train.init.look import look_at
from train.init.networks import NONE, STARTS
from train.init.report import about_balance, about_clips, about_split
from train.init.split import PARTS, split_clips

WORKERS = 4


class InitError(ClipDuetError):
    """Lists and configs cannot be made of these clips, or not where they are wanted."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m train.init",
        description="Look at class folders of clips; write lists, classes.txt and configs.",
    )
    add = parser.add_argument
    add("--clips", type=Path, required=True, help="folder of class folders")
    add("--out", "--output", type=Path, default=Path("my"), help="folder to write to (my)")
    add(
        "--groups",
        default=AUTO,
        metavar="HOW",
        help="what must stay together: a file with `path group` a line, scenes, none, or auto: "
        "groups.txt of the clips if there is one, else scenes (scene/class/clip), else none",
    )
    add("--seed", type=int, default=0, help="decides among splits that are as good (0)")
    add(
        "--start",
        choices=STARTS,
        default=NONE,
        help="what the networks start from: none (random weights), embedded (the demo's, which "
        "come with the checkout), imagenet (PaddleClas's, which the first training fetches). "
        "Default: %(default)s, which fetches nothing; no measurement shows another ahead",
    )
    add("--overwrite", action="store_true", help="replace files of other content")
    return parser


@command(extra="train")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 some clips cannot be read."""
    options = parser().parse_args(arguments)
    root, out = options.clips, options.out
    if options.seed < 0:
        raise InitError(f"--seed is {options.seed}, allowed: 0 or more")
    can_hold(out)
    there = find_clips(root, option="--clips")
    found = look_at(root, there, workers=min(WORKERS, hardware.cores()))
    looks = found.readable
    clips = [look.clip for look in looks]
    about = about_clips(looks, found.failed)
    about += about_no_class(no_class(root, there, clips, out=out))
    names = sorted({clip.label for clip in clips})
    if len(names) < 2:
        told = "\n".join(about)
        raise InitError(f"{root}: a network needs at least two classes of clips\n{told}")
    paths = [clip.path for clip in clips]
    labels = [names.index(clip.label) for clip in clips]
    groups, how = find_groups(paths, root, options.groups)
    split = split_clips(paths, labels, groups, found.bits, names=names, seed=options.seed)
    about += about_balance(labels, names)
    about += about_split(split, paths, labels, how)
    parts = {part: np.flatnonzero(split.parts == i).tolist() for i, part in enumerate(PARTS)}
    trained = np.bincount([labels[i] for i in parts["train"]], minlength=len(names)).tolist()
    choices = choose(looks, trained, names, this_machine(), start=options.start)
    name = out.resolve().name
    runs = {kind: f"runs/{name}-{kind}" for kind in ("baseline", "dml", "teacher")}
    texts = {
        **{f"{part}.list": _list(clips, labels, places) for part, places in parts.items()},
        "classes.txt": "".join(f"{line}\n" for line in class_lines(names)),
        BASELINE: baseline(choices, root=root, out=out, run=runs["baseline"], head=_head(about)),
        DML: mutual(choices, run=runs["dml"]),
        TEACHER: teacher(choices, run=runs["teacher"]),
    }
    _write(out, texts, overwrite=options.overwrite)
    for file in (BASELINE, DML, TEACHER):
        load_config(out / file)
    samples = {
        part: [Sample(root / paths[i], labels[i], None, 0) for i in places]
        for part, places in parts.items()
    }
    print("\n".join([*about, "", *class_table(names, samples), "", *_next(root, out, runs, name)]))
    return 1 if found.failed else 0


def _head(about: Sequence[str]) -> list[str]:
    """What is said of the clips, without the lines that name single ones."""
    return [line for line in about if not line.startswith("  ")]


def _list(clips: Sequence[Clip], labels: Sequence[int], places: Sequence[int]) -> str:
    return "".join(f"{clips[i].path} {labels[i]}\n" for i in places)


def _write(out: Path, texts: Mapping[str, str], *, overwrite: bool) -> None:
    other = [name for name, text in texts.items() if _differs(out / name, text)]
    if other and not overwrite:
        raise InitError(
            f"{out} holds {', '.join(other)} with other content: --overwrite replaces them, or "
            "choose another --out"
        )
    for name, text in texts.items():
        write_text(out / name, text)


def _differs(file: Path, text: str) -> bool:
    if not file.exists():
        return False
    try:
        return file.read_text(encoding="utf-8") != text
    except UnicodeDecodeError:
        return True
    except OSError as error:
        raise InitError(f"{file} cannot be read: {os_reason(error)}") from error


def _next(root: Path, out: Path, runs: Mapping[str, str], name: str) -> list[str]:
    """What was written, and the commands that go on from there."""

    def quoted(*words: object) -> str:
        return "  " + shlex.join(["python", "-m", *map(str, words)])

    alone, pair = f"bundles/{name}-baseline", f"bundles/{name}-dml"
    without_make = shlex.quote(str(out)) != str(out)  # make takes no such name
    make = "make train-baseline train-dml export benchmark"
    folds = quoted("benchmarks.study", "--folds", 5, "--configs", f"baseline={out / BASELINE}",
                   f"dml={out / DML}")  # fmt: skip
    return [
        f"wrote {out}: lists, classes.txt, {BASELINE} (each setting with its reason), {DML}, "
        f"{TEACHER}",
        "",
        "go on with:",
        quoted("train", "-c", out / BASELINE, "--resume"),
        quoted("train", "-c", out / DML, "--resume"),
        quoted("export", "--checkpoint", runs["baseline"], "--out", alone),
        quoted("export", "--checkpoint", runs["dml"], "--out", pair),
        quoted(
            "benchmarks.gain",
            "--baseline",
            alone,
            "--student",
            pair,
            "--data",
            out / "test.list",
            "--root",
            root,
            "--out",
            f"reports/{name}/results.json",
            "--report",
            f"reports/{name}",
        ),
        *([] if without_make else ["", f"or all of it: {make} CONFIG={out}"]),
        "",
        f"{runs['dml']} then holds curves.svg, val_confusion.svg and val_wrong.html, the most "
        "confident mistakes;",
        f"reports/{name}/index.html says whether the gain is left in every deployment",
        "",
        "every clip as a test clip once, for a sounder comparison (hours):",
        folds,
    ]


if __name__ == "__main__":
    run_and_exit(main)
