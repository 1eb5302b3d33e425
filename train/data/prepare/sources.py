"""Where the public datasets come from, what may be done with them, what their files are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from infer.system.errors import ClipDuetError
from train.data.prepare import formats
from train.data.prepare.formats import Plan
from train.plugins.call import call, called
from train.plugins.registry import DATASETS, register

ANNOTATIONS, VIDEOS = "annotations", "videos"
"""Folders below --root that files are unpacked to and looked for in."""


class PrepareError(ClipDuetError):
    """A dataset cannot be prepared as asked."""


@dataclass(frozen=True)
class Source:
    """One file behind a plain URL.

    Attributes:
        url: where it is.
        to: the folder it belongs in, `annotations` or `videos`; archives are unpacked there.
        checksum: `md5:...` or `sha256:...` where one is known from a second place.
        listing: the file holds the URLs of the archives, one a line.
    """

    url: str
    to: str
    checksum: str | None = None
    listing: bool = False


@dataclass(frozen=True)
class PublicDataset:
    """What is known about a dataset.

    Attributes:
        title: its full name.
        licence: what its makers allow, in one sentence.
        home: the official page.
        read: from the folder of annotations to classes and splits.
        sources: files to download, in this order; none where an agreement has to be accepted.
        by_hand: what to get by hand, where to put it.
        frames: pattern of the frame names, for datasets that come as pictures.
        replaced_by: name of a folder whose videos count instead of those of the same name.
    """

    title: str
    licence: str
    home: str
    read: Callable[[Path], Plan]
    sources: tuple[Source, ...]
    by_hand: str
    frames: str | None = None
    replaced_by: str | None = None


Reader = TypeVar("Reader", bound=Callable[[Path], Plan])


def dataset(
    name: str,
    *,
    title: str,
    licence: str,
    home: str,
    by_hand: str,
    sources: tuple[Source, ...] = (),
    frames: str | None = None,
    replaced_by: str | None = None,
) -> Callable[[Reader], Reader]:
    """Register a dataset under a name of the command line, where the reader of its files stands.

    The function takes the folder of the annotations and returns the `Plan` of its splits; what is
    wrong with the files is an `AnnotationError`. The other arguments are those of `PublicDataset`.

    Raises:
        PluginError: the name is taken.
    """

    def add(read: Reader) -> Reader:
        register("dataset", name, read.__module__)
        named = partial(call, called("dataset", name, read), read)
        DATASETS[name] = PublicDataset(
            title, licence, home, named, sources, by_hand, frames, replaced_by
        )
        return read

    return add


_KINETICS = "https://s3.amazonaws.com/kinetics/400"
_REPLACEMENT = "replacement_for_corrupted_k400"
_UCF = "https://www.crcv.ucf.edu/data/UCF101"
_HMDB = "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10"
_QUALCOMM = "https://www.qualcomm.com/developer/software"

_BUILT_IN: dict[str, PublicDataset] = {
    "kinetics400": PublicDataset(
        title="Kinetics-400",
        licence="The annotations are Google's, CC BY 4.0; the clips belong to their uploaders and "
        "are copies kept by the Common Visual Data Foundation for research.",
        home="https://github.com/cvdfoundation/kinetics-dataset",
        read=formats.kinetics,
        sources=(
            *(
                Source(f"{_KINETICS}/annotations/{split}.csv", ANNOTATIONS)
                for split in ("train", "val", "test")
            ),
            *(
                Source(f"{_KINETICS}/{split}/k400_{split}_path.txt", VIDEOS, listing=True)
                for split in ("val", "train", "test")
            ),
            # Corrupted files of the training part, once more, in a folder of that name.
            Source(f"{_KINETICS}/{_REPLACEMENT}.tgz", VIDEOS),
        ),
        by_hand="train.csv, val.csv (and test.csv) to {annotations}; the clips, named "
        "ID_SSSSSS_EEEEEE.mp4 by video and seconds, anywhere below {videos}",
        replaced_by=_REPLACEMENT,
    ),
    "ucf101": PublicDataset(
        title="UCF101",
        licence="For research; the University of Central Florida names no licence, and the clips "
        "belong to their uploaders.",
        home="https://www.crcv.ucf.edu/research/data-sets/ucf101/",
        read=formats.ucf101,
        sources=(
            Source(f"{_UCF}/UCF101TrainTestSplits-RecognitionTask.zip", ANNOTATIONS),
            Source(f"{_UCF}/UCF101.rar", VIDEOS),
        ),
        by_hand="UCF101TrainTestSplits-RecognitionTask.zip, unpacked, to {annotations}; "
        "UCF101.rar, unpacked, to {videos}",
    ),
    "hmdb51": PublicDataset(
        title="HMDB51",
        licence="Creative Commons Attribution 4.0 (Serre lab, Brown University).",
        home="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
        read=formats.hmdb51,
        sources=(
            Source(
                f"{_HMDB}/test_train_splits.rar",
                ANNOTATIONS,
                "md5:15e67781e70dcfbdce2d7dbb9b3344b5",
            ),
            Source(f"{_HMDB}/hmdb51_org.rar", VIDEOS, "md5:517d6f1f19f215c45cdd4d25356be1fb"),
        ),
        by_hand="test_train_splits.rar, unpacked, to {annotations}; hmdb51_org.rar and the 51 "
        "archives in it, unpacked, to {videos}",
    ),
    "ssv2": PublicDataset(
        title="Something-Something v2",
        licence="Qualcomm's data licence agreement, for research; it has to be accepted on their "
        "site, and copies must not be passed on.",
        home=f"{_QUALCOMM}/something-something-v-2-dataset",
        read=formats.something_something,
        sources=(),
        by_hand="the labels (labels.json, train.json, validation.json, test.json, "
        "test-answers.csv, with or without something-something-v2- before them) to {annotations}; "
        "the videos to {videos}: cat 20bn-something-something-v2-?? | tar -xz -C {videos}",
    ),
    "jester": PublicDataset(
        title="Jester",
        licence="Qualcomm's data licence agreement, for research; it has to be accepted on their "
        "site, and copies must not be passed on.",
        home=f"{_QUALCOMM}/jester-dataset",
        read=formats.jester,
        sources=(),
        by_hand="jester-v1-labels.csv, jester-v1-train.csv, jester-v1-validation.csv (and "
        "jester-v1-test.csv) to {annotations}; the frames to {videos}: "
        "cat 20bn-jester-v1-?? | tar -xz -C {videos}",
        frames="{:05}.jpg",
    ),
}

for _name, _known in _BUILT_IN.items():
    register("dataset", _name, _known.read.__module__)
    DATASETS[_name] = _known
