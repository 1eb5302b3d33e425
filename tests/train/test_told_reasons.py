"""Why the system refuses a file is told in the same words wherever training meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infer.system.errors import ClipDuetError
from train.checkpoints.run_lock import run_lock
from train.config.class_file import read_class_names
from train.config.load import load_config
from train.data.lists import read_list
from train.data.prepare.annotation_files import numbered_lines


def enter(folder: Path) -> None:
    with run_lock(folder / "run"):
        pass


@pytest.mark.parametrize(
    "use",
    [
        enter,
        read_class_names,
        load_config,
        lambda path: read_list(path, root=path.parent, format="VideoDataset"),
        lambda path: list(numbered_lines(path)),
    ],
    ids=["run folder", "class names", "config", "list", "annotations"],
)
def test_links_that_lead_in_a_circle_are_told_as_that(use, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(ClipDuetError, match=r"link.* circle"):
        use(link)
