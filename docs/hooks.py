"""MkDocs hook: the site holds the pages of docs/, README and what they link to in the repository.

Pages link to each other by their paths in the repository, so that they work where the repository
is browsed too. README.md becomes the site's first page, docs/ its top folder, and a linked file
outside docs/ is copied to the path that it has in the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages outside docs/."""
REPORTS = "reports/**/*.md"
"""Pages too where the navigation names them; others are what a user has measured."""

LINK = re.compile(r"(?<=\]\()(?!\w+:)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/, and the files that any page links to."""
    pages = pages_beside(config["nav"])
    paths = {_in_repository(path) for path in pages}
    for page in [*pages, *(ROOT / "docs").glob("*.md")]:
        links = LINK.finditer(page.read_text(encoding="utf-8"))
        targets = {_target(_in_repository(page), link["path"]) for link in links}
        paths |= {path for path in targets if (ROOT / path).is_file()}
    for path in sorted(paths):
        name = _in_site(path)
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between files of the repository as links between pages of the site."""
    source = _in_repository(Path(page.file.abs_src_path))
    folder = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        path = posixpath.relpath(_in_site(_target(source, link["path"])), folder or ".")
        return path + (link["anchor"] or "")

    return LINK.sub(moved, markdown)


def pages_beside(nav: Any) -> list[Path]:
    """The pages outside docs/."""
    named = _named_in(nav)
    reports = [path for path in sorted(ROOT.glob(REPORTS)) if _in_repository(path) in named]
    return [*(ROOT / name for name in BESIDE), *reports]


def _named_in(nav: Any) -> set[str]:
    """The pages of a navigation, which are the leaves of its lists and mappings."""
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return {name for part in parts for name in _named_in(part)}


def _in_repository(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _target(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _in_site(path: str) -> str:
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
