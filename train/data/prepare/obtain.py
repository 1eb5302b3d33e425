"""Bring a dataset's files here: fetch, check, unpack, one after the other, each once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from infer.system.log import logger
from train.data.prepare.download import check_space, fetch, file_name, sizes
from train.data.prepare.sources import ANNOTATIONS, VIDEOS, PrepareError, PublicDataset, Source
from train.data.prepare.unpack import is_archive, rar_program, unpack

log = logger(__name__)

DOWNLOADS = "downloads"
"""Folder below --root for what is on its way."""


def obtain(dataset: PublicDataset, root: Path, *, keep_archives: bool) -> None:
    """Fetch and unpack all sources of a dataset that are not there yet.

    Raises:
        PrepareError: the dataset cannot be had by plain URLs.
        DownloadError, UnpackError: see there; the next call goes on where this one stopped.
    """
    if not dataset.sources:
        raise PrepareError(
            f"{dataset.title} cannot be downloaded by a program.\n{manual_steps(dataset, root)}"
        )
    folder = root / DOWNLOADS
    folder.mkdir(parents=True, exist_ok=True)
    sources = [
        part
        for source in dataset.sources
        for part in (_listed(source, folder) if source.listing else [source])
    ]
    rest = [source for source in sources if not _stamp(folder, source).exists()]
    if any(source.url.lower().endswith(".rar") for source in rest):
        rar_program()
    _check_space(folder, rest, keep_archives=keep_archives)
    for source in rest:
        file = _place(folder, source)
        fetch(source.url, file, checksum=source.checksum)
        target = root / source.to
        if is_archive(file):
            log.info(f"unpacking {file.name}")
            unpack(file, target)
            if not keep_archives:
                file.unlink()
        else:
            target.mkdir(parents=True, exist_ok=True)
            file.replace(target / file_name(source.url))
        _stamp(folder, source).touch()


def manual_steps(dataset: PublicDataset, root: Path) -> str:
    """What a user can do to get the files."""
    places = dataset.by_hand.format(annotations=root / ANNOTATIONS, videos=root / VIDEOS)
    command = "Add --download, or put" if dataset.sources else f"From {dataset.home}, put"
    return f"{command} {places}"


def _listed(source: Source, folder: Path) -> list[Source]:
    """The archives that a text file names."""
    file = _place(folder, source)
    fetch(source.url, file)
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [Source(line, source.to) for line in lines if line]


def _check_space(folder: Path, sources: list[Source], *, keep_archives: bool) -> None:
    """What comes out of an archive of videos is about as large as the archive."""
    known = sizes(source.url for source in sources)
    lengths = [length or 0 for length in known.values()]
    total = sum(lengths)
    so_far = sum(
        path.stat().st_size
        for source in sources
        if known[source.url] is not None
        for file in [_place(folder, source)]
        for path in (file, file.with_name(file.name + ".part"))
        if path.exists()
    )
    least = "at least " if None in known.values() else ""
    log.info(f"to fetch: {len(sources)} files, {least}{(total - so_far) / 1e9:.2f} GB")
    archives = total if keep_archives else max(lengths, default=0)
    check_space(folder, total + archives - so_far)


def _place(folder: Path, source: Source) -> Path:
    """Names of archives repeat between the parts of a dataset; the paths of their URLs do not."""
    file_name(source.url)
    return folder / "_".join(part for part in urlsplit(source.url).path.split("/") if part)


def _stamp(folder: Path, source: Source) -> Path:
    """Exists once a source has been fetched and unpacked."""
    place = _place(folder, source)
    return place.with_name(f".{place.name}.done")
