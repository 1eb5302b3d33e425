"""The official annotation files, each in its own format, as classes and labelled splits.

A reader takes the folder that the files lie in, at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from train.data.prepare.annotation_files import (
    AnnotationError,
    check_unique,
    csv_rows,
    files_below,
    find_files,
    id_pairs,
    json_content,
    numbered_lines,
    raise_all,
)

SPLITS_OF_THREE = (1, 2, 3)


@dataclass(frozen=True)
class Entry:
    """A listed video.

    Attributes:
        key: file name without ending, or `folder/name` where names repeat between folders.
        label: its class, or None where the makers keep it to themselves.
    """

    key: str
    label: int | None


@dataclass(frozen=True)
class Plan:
    """What the annotations say.

    Attributes:
        classes: names by label.
        splits: the videos of each split, in the order of the files.
        absent: optional splits whose file is not there.
    """

    classes: list[str]
    splits: dict[str, list[Entry]]
    absent: tuple[str, ...] = ()


def kinetics(folder: Path) -> Plan:
    """Kinetics: `label,youtube_id,time_start,time_end,split`, a header and a clip a line.

    Test may lack labels. Labels number the class names in alphabetical order, as PaddleVideo's
    list does.
    """
    prefixes = ("", "kinetics_", "kinetics400_", "kinetics_400_", "kinetics-400_")
    names = {"train": ("train",), "val": ("val", "validate"), "test": ("test",)}
    files, absent = find_files(
        folder,
        {
            split: [f"{prefix}{name}.csv" for name in spelled for prefix in prefixes]
            for split, spelled in names.items()
        },
        optional=("test",),
    )
    problems: list[str] = []
    rows: dict[str, list[tuple[str, str]]] = {}
    for split, file in files.items():
        rows[split] = []
        needed = ["youtube_id", "time_start", "time_end", *(["label"] if split != "test" else [])]
        for number, row in csv_rows(file, needed, problems):
            try:
                times = [int(float(row[name])) for name in ("time_start", "time_end")]
            except (KeyError, ValueError, OverflowError):
                times = []
            if not times or not row.get("youtube_id"):
                problems.append(f"{file}:{number}: needs youtube_id, time_start and time_end")
                continue
            key = f"{row['youtube_id']}_{times[0]:06d}_{times[1]:06d}"
            rows[split].append((key, row.get("label", "").strip()))
            if split != "test" and not rows[split][-1][1]:
                problems.append(f"{file}:{number}: {key} has no label")
    raise_all(problems)
    classes = sorted({label for split in ("train", "val") for _, label in rows[split]})
    return _plan(files, rows, classes, absent)


def ucf101(folder: Path) -> Plan:
    """UCF101: a list of classes and three pairs of lists.

    `classInd.txt` (`1 ApplyEyeMakeup`); `trainlist01.txt` to `03` (`Class/file.avi 1`) and
    `testlist01.txt` to `03` (`Class/file.avi`).
    """
    lists = {
        f"{part}{number}": [f"{part}list{number:02d}.txt"]
        for number in SPLITS_OF_THREE
        for part in ("train", "test")
    }
    files, _ = find_files(folder, {"classes": ["classInd.txt"], **lists})
    index = files.pop("classes")
    numbered = [(*line.split(maxsplit=1), "")[:2] for _, line in numbered_lines(index)]
    names = [name for _, name in numbered]
    if not all(names) or [n for n, _ in numbered] != [str(n + 1) for n in range(len(names))]:
        raise AnnotationError(f"{index}: must number the classes from 1 on, one a line")
    check_unique(index, names)
    problems: list[str] = []
    rows: dict[str, list[tuple[str, str]]] = {}
    for split, file in files.items():
        rows[split] = []
        for number, line in numbered_lines(file):
            path = line.split()[0]
            name, slash, video = path.partition("/")
            if not slash or "/" in video:
                problems.append(f"{file}:{number}: {path} is not Class/video")
                continue
            rows[split].append((f"{name}/{Path(video).stem}", name))
    raise_all(problems)
    return _plan(files, rows, names)


def hmdb51(folder: Path) -> Plan:
    """HMDB51: `CLASS_test_split1.txt` to `3` for every class.

    A line is `name.avi 1`, where 1 is training, 2 test, 0 neither.
    """
    found = {
        number: sorted(f for f in files_below(folder) if f.match(f"*_test_split{number}.txt"))
        for number in SPLITS_OF_THREE
    }
    names = {
        number: {file.name.removesuffix(f"_test_split{number}.txt"): file for file in files}
        for number, files in found.items()
    }
    classes = sorted(set().union(*names.values()))
    problems = [
        f"{folder}: {name}_test_split{number}.txt is missing"
        for number in SPLITS_OF_THREE
        for name in classes
        if name not in names[number]
    ]
    if not classes:
        raise AnnotationError(f"{folder} holds none of CLASS_test_split1.txt, 2 and 3")
    splits: dict[str, list[Entry]] = {}
    for number in SPLITS_OF_THREE:
        train, test = [], []
        for label, name in enumerate(classes):
            file = names[number].get(name)
            listed = list(numbered_lines(file)) if file else []
            if file and not listed:
                problems.append(f"{file} lists no video")
            for line_number, line in listed:
                video, _, part = line.rpartition(" ")
                if part not in ("0", "1", "2") or not video:
                    problems.append(f"{file}:{line_number}: is not `name.avi` and 0, 1 or 2")
                    continue
                entry = Entry(f"{name}/{Path(video.strip()).stem}", label)
                train += [entry] if part == "1" else []
                test += [entry] if part == "2" else []
        splits |= {f"train{number}": train, f"test{number}": test}
    raise_all(problems)
    return Plan(classes, splits)


def something_something(folder: Path) -> Plan:
    """Something-Something v2: JSON files, and a CSV file of the labels of test.

    `labels.json` (`{"Approaching something": "0"}`), `train.json` and `validation.json`
    (`[{"id": "1", "template": "Approaching [something]"}]`), `test.json` (ids only) and
    `test-answers.csv` (`id;label`).
    """

    def named(*names: str) -> list[str]:
        return [prefix + name for name in names for prefix in ("", "something-something-v2-")]

    files, absent = find_files(
        folder,
        {
            "labels": named("labels.json"),
            "train": named("train.json"),
            "val": named("validation.json"),
            "test": named("test.json"),
            "answers": named("test-answers.csv"),
        },
        optional=("test", "answers"),
    )
    labels = json_content(files["labels"], dict)
    try:
        classes = sorted(labels, key=lambda name: int(labels[name]))
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{files['labels']}: a label is not a number: {error}") from error
    if [int(labels[name]) for name in classes] != list(range(len(classes))):
        raise AnnotationError(f"{files['labels']}: must number the classes from 0 on")
    answers: dict[str, str] = {}
    if "answers" in files:
        answers = dict(id_pairs(files["answers"]))
    problems: list[str] = []
    rows: dict[str, list[tuple[str, str]]] = {}
    for split in ("train", "val", "test"):
        if split not in files:
            continue
        rows[split] = []
        for number, item in enumerate(json_content(files[split], list)):
            if not isinstance(item, dict) or "id" not in item:
                problems.append(f"{files[split]}: entry {number} has no id")
                continue
            key = str(item["id"])
            name = item.get("template", "") or answers.get(key, "")
            rows[split].append((key, str(name).replace("[", "").replace("]", "")))
            if split != "test" and not name:
                problems.append(f"{files[split]}: entry {number} has no template")
    raise_all(problems)
    used = {split: file for split, file in files.items() if split in rows}
    return _plan(used, rows, classes, tuple(name for name in absent if name == "test"))


def jester(folder: Path) -> Plan:
    """Jester: CSV files.

    `jester-v1-labels.csv` (a class a line), `jester-v1-train.csv` and `jester-v1-validation.csv`
    (`id;label`), `jester-v1-test.csv` (ids only).
    """
    files, absent = find_files(
        folder,
        {
            "labels": ["jester-v1-labels.csv"],
            "train": ["jester-v1-train.csv"],
            "val": ["jester-v1-validation.csv"],
            "test": ["jester-v1-test.csv"],
        },
        optional=("test",),
    )
    labels = files.pop("labels")
    classes = [line for _, line in numbered_lines(labels)]
    check_unique(labels, classes)
    rows = {split: list(id_pairs(file)) for split, file in files.items()}
    raise_all(
        f"{files[split]}: {key} has no label"
        for split in ("train", "val")
        for key, name in rows[split]
        if not name
    )
    return _plan(files, rows, classes, absent)


def _plan(
    files: dict[str, Path],
    rows: dict[str, list[tuple[str, str]]],
    classes: list[str],
    absent: Sequence[str] = (),
) -> Plan:
    """Names to labels; one that is not among the classes is a mistake, as is an empty split."""
    labels = {name: label for label, name in enumerate(classes)}
    raise_all(f"{files[split]} lists no video" for split, found in rows.items() if not found)
    raise_all(
        f"{files[split]}: {key} is {name!r}, which is no class"
        for split, found in rows.items()
        for key, name in found
        if name and name not in labels
    )
    splits = {
        split: [Entry(key, labels[name] if name else None) for key, name in found]
        for split, found in rows.items()
    }
    return Plan(classes, splits, tuple(absent))
