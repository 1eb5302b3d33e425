"""`--save-video` and `--save-contact-sheet`: answers to look at, a file for each video."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..clips.preprocess import load_clips
from ..clips.spec import ClipSpec
from ..pipeline.annotated import names_for, save_sheet, save_video
from ..pipeline.predictions import Prediction
from ..system.errors import ClipDuetError, VideoError
from ..system.log import logger
from .inputs import Inputs
from .labels import Labels
from .reading_options import limits_of

log = logger(__name__)


def files_in(
    named: str, videos: Sequence[Path], suffix: str, *, shown: str, bundle: Path
) -> dict[Path, Path]:
    """A file for each video in the folder that an option names.

    Args:
        named: the folder; it need not be there.
        videos: that are read.
        suffix: of the files.
        shown: the option, for errors.
        bundle: its folder.

    Raises:
        ClipDuetError: the folder cannot be used.
    """
    folder = Path(os.path.realpath(named))
    if folder.exists() and not folder.is_dir():
        raise ClipDuetError(f"{shown} is no folder; name one")
    if Path(os.path.realpath(bundle)) in (folder, *folder.parents):
        raise ClipDuetError(f"{shown} lies in the bundle; name another folder")
    files = names_for(videos, folder, suffix)
    read = {os.path.realpath(video) for video in videos}
    for file in files.values():
        if os.path.realpath(file) in read:
            raise ClipDuetError(f"{shown}: {file} is one of the videos; name another folder")
    return files


def check_new(files: Iterable[Path], *, overwrite: bool) -> None:
    """Raises ClipDuetError where one of these files is there, unless it may be replaced."""
    there = [file for file in files if os.path.lexists(file)]
    if there and not overwrite:
        raise ClipDuetError(f"{there[0]} is there already: name another folder, or add --overwrite")


class Pictures:
    """What is saved of each answer; nothing where neither option is given."""

    def __init__(
        self,
        args: argparse.Namespace,
        inputs: Inputs,
        spec: ClipSpec,
        labels: Labels | None,
        *,
        bundle: Path,
    ) -> None:
        """Give each video its files.

        Raises:
            ClipDuetError: a folder that cannot be used, or options that exclude each other.
        """
        self._spec, self._frames, self._labels = spec, inputs.frames, labels
        self._limits, self._overwrite = limits_of(args), args.overwrite
        self._clips: Mapping[Path, Path] = {}
        self._sheets: Mapping[Path, Path] = {}
        for option, suffix in (("save_video", ".mp4"), ("save_contact_sheet", ".png")):
            named = getattr(args, option)
            if named is None:
                continue
            shown = f"--{option.replace('_', '-')} {named}"
            if args.isolate:
                raise ClipDuetError(f"{shown} reads videos in this process: leave out --isolate")
            targets = files_in(named, inputs.videos, suffix, shown=shown, bundle=bundle)
            if option == "save_video":
                self._clips = targets
            else:
                self._sheets = targets

    def check(self, videos: Iterable[Path]) -> None:
        """Raises ClipDuetError where a file of these videos is there, unless it may be replaced."""
        check_new((one for video in videos for one in self._of(video)), overwrite=self._overwrite)

    def save(self, video: Path, prediction: Prediction, *, missing: bool = False) -> None:
        """Save what is asked for.

        Args:
            video: one of the inputs.
            prediction: what came out for it.
            missing: only files that are not there.

        Raises:
            WriteError: a file cannot be written.
        """
        if prediction.error is not None:
            return
        try:
            target = self._sheets.get(video)
            if target is not None and not (missing and target.exists()):
                frames, limits = self._frames.get(video), self._limits
                clips, _ = load_clips(video, self._spec, frames=frames, limits=limits)
                true = None if self._labels is None else self._labels.name_of(video)
                save_sheet(target, clips, prediction, true)
            target = self._clips.get(video)
            if target is not None and not (missing and target.exists()):
                save_video(target, video, prediction, self._limits)
        except VideoError as error:
            log.warning(f"warning: {video}: {target} is not written: {error.reason}")

    def _of(self, video: Path) -> list[Path]:
        return [one[video] for one in (self._clips, self._sheets) if video in one]
