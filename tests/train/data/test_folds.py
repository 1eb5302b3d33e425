"""Folds: every clip tests once, no group straddles, and classes lie as evenly as groups allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.folds import Fold, FoldsError, make_folds
from train.data.grouped_split import imbalance
from train.data.groups import GroupsError, find_groups, read_groups

SETS = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=12), min_size=3, max_size=14
)  # the labels of each group's clips


def clips(groups: list[list[int]]) -> tuple[list[int], list[str]]:
    labels = [label for group in groups for label in group]
    names = [f"g{place}" for place, group in enumerate(groups) for _ in group]
    return labels, names


def check(folds: list[Fold], labels: list[int], groups: list[str]) -> None:
    named = np.asarray(groups)
    every = np.arange(len(labels))
    assert sorted(np.concatenate([fold.test for fold in folds])) == every.tolist()
    for fold in folds:
        parts = [fold.train, fold.valid, fold.test]
        assert sorted(np.concatenate(parts)) == every.tolist()
        held = [set(named[part]) for part in parts]
        assert all(held) and sum(map(len, held)) == len(set(groups))  # none straddles
        assert {labels[clip] for clip in fold.train} == set(labels)


@settings(deadline=None, max_examples=50)
@given(SETS, st.integers(2, 5), st.integers(0, 3))
def test_what_holds_for_every_set(given_groups: list[list[int]], number: int, seed: int) -> None:
    labels, groups = clips(given_groups)
    try:
        folds = make_folds(labels, groups, folds=number, seed=seed)
    except FoldsError:
        few = min(len({g for g, one in zip(groups, labels, strict=True) if one == label})
                  for label in set(labels))  # fmt: skip
        # Refused only where some class is of few groups.
        assert few < number + 3
        return
    check(folds, labels, groups)
    again = make_folds(labels, groups, folds=number, seed=seed)
    for one, other in zip(folds, again, strict=True):
        assert all((getattr(one, part) == getattr(other, part)).all() for part in vars(one))


@settings(deadline=None, max_examples=20)
@given(SETS, st.integers(2, 4))
def test_no_move_and_no_exchange_would_make_shares_more_even(
    given_groups: list[list[int]], number: int
) -> None:
    labels, groups = clips(given_groups)
    try:
        folds = make_folds(labels, groups, folds=number)
    except FoldsError:
        return
    classes = sorted(set(labels))
    counts = np.array([[group.count(label) for label in classes] for group in given_groups])
    of_clip = np.empty(len(labels), int)
    for place, fold in enumerate(folds):
        of_clip[fold.test] = place
    parts = np.array([of_clip[groups.index(f"g{g}")] for g in range(len(given_groups))])
    shares = [1 / number] * number

    def usable(other: np.ndarray) -> bool:
        held = np.stack([counts[other == part].sum(axis=0) for part in range(number)])
        return bool(held.sum(axis=1).all()) and not (held == counts.sum(axis=0)).any()

    best = imbalance(counts, parts, shares)
    for group in range(len(parts)):
        for part in range(number):
            other = parts.copy()
            other[group] = part
            assert not usable(other) or imbalance(counts, other, shares) >= best - 1e-6
        for second in range(group):
            other = parts.copy()
            other[[group, second]] = other[[second, group]]
            assert not usable(other) or imbalance(counts, other, shares) >= best - 1e-6


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(6, 60), min_size=2, max_size=6), st.integers(2, 6), st.integers(0, 9))
def test_single_clips_lie_evenly_to_one_clip(sizes: list[int], number: int, seed: int) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    groups = [f"clip {place}" for place in range(len(labels))]
    folds = make_folds(labels, groups, folds=number, seed=seed)
    check(folds, labels, groups)
    for label in range(len(sizes)):
        held = [sum(labels[clip] == label for clip in fold.test) for fold in folds]
        assert max(held) - min(held) <= 1
    tested = [len(fold.test) for fold in folds]
    assert max(tested) - min(tested) <= 1
    for fold in folds:
        share = len(fold.valid) / (len(fold.valid) + len(fold.train))
        assert abs(share - 0.15) < 0.1


def test_another_seed_splits_clips_otherwise() -> None:
    labels = [0, 1] * 20
    groups = [str(place) for place in range(40)]
    first, second = (make_folds(labels, groups, folds=4, seed=seed)[0].test for seed in (0, 1))
    assert set(first) != set(second)


@pytest.mark.parametrize(
    ("labels", "groups", "number", "word"),
    [
        ([0, 1, 0, 1], ["a", "a", "b", "b"], 2, "2 groups"),
        ([0, 0, 0, 1], ["a", "b", "c", "c"], 2, "one group"),
        ([0, 0, 0], ["a", "b", "c"], 1, "at least 2"),
        ([0, 0, 0], ["a", "b", "c"], 4, "3 groups"),
    ],
)
def test_what_cannot_be_split_is_refused(
    labels: list[int], groups: list[str], number: int, word: str
) -> None:
    with pytest.raises(FoldsError, match=word):
        make_folds(labels, groups, folds=number)


def test_groups_come_from_a_file_or_from_scenes(tmp_path: Path) -> None:
    paths = ["one/a/1.mp4", "one/b/2.mp4", "two/a/3.mp4"]
    assert find_groups(paths, tmp_path) == (["one", "one", "two"], "scenes")
    assert find_groups(["a/1.mp4", "a/2.mp4"], tmp_path) == (["a/1.mp4", "a/2.mp4"], "none")
    assert find_groups(paths, tmp_path, "none")[0] == paths
    file = tmp_path / "groups.txt"
    file.write_text("# who\none/a/1.mp4 anna\none/b/2.mp4 ben\n\ntwo/a/3.mp4 anna\n")
    assert find_groups(paths, tmp_path) == (["anna", "ben", "anna"], str(file))
    with pytest.raises(GroupsError, match=r"a/9\.mp4"):
        find_groups([*paths, "two/a/9.mp4"], tmp_path)
    with pytest.raises(GroupsError, match="scene"):
        find_groups(["a/1.mp4"], tmp_path, "scenes")
    file.write_text("one/a/1.mp4 anna\none/a/1.mp4 ben\nalone\n")
    with pytest.raises(GroupsError, match=r"line 2: .*two groups(.|\n)*line 3"):
        read_groups(file)
