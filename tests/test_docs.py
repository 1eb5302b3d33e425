"""README, docs/ and the site: links, anchors and modules exist, and the site loads nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


def _pages(root: Path) -> list[Path]:
    pages = [page for pattern in PAGES for page in sorted(root.glob(pattern))]
    assert root / "README.md" in pages and len(pages) > 8
    return pages


def _text(page: Path) -> str:
    """The page without code, in which brackets mean other things."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where repositories are browsed."""
    code = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", code, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def broken_links(root: Path) -> list[str]:
    """Relative links of README and docs whose file or anchor does not exist."""
    broken = []
    for page in _pages(root):
        for link in LINK.finditer(_text(page)):
            if re.match(r"\w+:", link["target"]):
                continue
            path, _, anchor = link["target"].partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{page.relative_to(root)}: {link['target']}")
    return broken


def test_every_link_and_anchor_exists(root: Path) -> None:
    assert broken_links(root) == []


@pytest.mark.parametrize("room", ["infer", "train", "export", "benchmarks"])
def test_the_page_on_the_layout_names_every_folder_of_a_room(root: Path, room: str) -> None:
    text = (root / "docs/architecture.md").read_text(encoding="utf-8")
    tree = re.search(rf"^{room}/.*\n((?: +.*\n)+)", text, re.MULTILINE)
    assert tree
    named = set(re.findall(r"(?:^| ) {1,2}(\w+)/", tree[1], re.MULTILINE))
    assert named == {init.parent.name for init in (root / room).glob("*/__init__.py")}


def test_the_page_on_the_layout_tells_of_every_command_at_the_top_of_benchmarks(root: Path) -> None:
    text = (root / "docs/architecture.md").read_text(encoding="utf-8")
    table = re.search(r"^The modules at the top of `benchmarks/`.*\n\n((?:\|.*\n)+)", text, re.M)
    assert table is not None
    told = re.findall(r"`(\w+)`", table[1])
    modules = {file.stem for file in (root / "benchmarks").glob("*.py")} - {"__init__"}
    assert set(told) - {"make", "methods"} == modules


def test_every_file_that_a_contributor_is_told_of_exists(root: Path) -> None:
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(
        re.findall(r"`((?:infer|train|export|benchmarks|tests|docs|configs)/[^`\s]+)`", text)
    )
    assert len(named) > 20
    missing = {path for path in named if "NAME" not in path and not (root / path).exists()}
    assert missing == set()


def test_pre_commit_runs_what_lint_runs(root: Path) -> None:
    config = (root / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = set(re.findall(r"entry: ([^,]+),", config))
    lint = re.search(r"^lint: .*\n((?:\t.+\n)+)", (root / "Makefile").read_text(), re.MULTILINE)
    assert lint
    commands = {line.strip("\t@").replace("$(VENV)", ".venv") for line in lint[1].splitlines()}
    assert hooks == commands


@pytest.mark.parametrize("target", ["missing.md", "docs/gate.md#missing", "#missing"])
def test_a_broken_link_is_found(root: Path, tmp_path: Path, target: str) -> None:
    shutil.copytree(root / "docs", tmp_path / "docs")
    shutil.copytree(root / "reports", tmp_path / "reports")
    (tmp_path / "README.md").write_text(f"[a page](docs/gate.md), [another]({target})\n")
    assert f"README.md: {target}" in broken_links(tmp_path)


def test_every_page_is_in_the_navigation(root: Path) -> None:
    nav = (root / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (root / "docs").glob("*.md"):
        assert re.search(rf": {page.name}$", nav, re.MULTILINE), page.name


def test_every_module_of_the_reference_exists(root: Path) -> None:
    modules = re.findall(r"^::: (\S+)$", (root / "docs/api.md").read_text(), re.MULTILINE)
    assert len(modules) > 5
    for module in modules:
        path = root / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def _build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout as `make docs` does: whatever is doubtful is an error."""
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install -c constraints.txt '.[docs]'")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = _build(root, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_broken_links_fail_the_build(root: Path, tmp_path: Path) -> None:
    links = ("missing.md", "gate.md#no-such-heading", "../reports/missing.json")
    for name in ("docs", "reports"):
        shutil.copytree(root / name, tmp_path / name)
    for file in root.glob("*.md"):
        shutil.copy(file, tmp_path)
    shutil.copy(root / "mkdocs.yml", tmp_path)
    text = "\n\n".join(f"[a link]({link})" for link in links)
    (tmp_path / "docs/api.md").write_text(f"# Without modules\n\n{text}\n")
    done = _build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    for link in links:
        assert link.removeprefix("../") in done.stderr


def test_the_site_has_every_page(root: Path, site: Path) -> None:
    assert (site / "index.html").is_file()
    for page in (root / "docs").glob("*.md"):
        assert (site / page.with_suffix(".html").name).is_file()
    for linked in ("reports/study/report.html", "reports/speed.json"):
        assert (site / linked).is_file(), linked


def test_what_a_user_has_measured_is_no_page(root: Path, monkeypatch, tmp_path: Path) -> None:
    """`make demo` writes a report; the site must build after it."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    spec = importlib.util.spec_from_file_location("hooks", root / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    for name in ("reports/study/report.md", "reports/demo/report.md"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("# Page\n")
    nav = [{"Start": "index.md"}, {"Evidence": [{"Study": "reports/study/report.md"}]}]
    found = [path.relative_to(tmp_path).as_posix() for path in hooks.pages_beside(nav)]
    assert found == [*hooks.BESIDE, "reports/study/report.md"]


def test_every_committed_report_is_in_the_navigation(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "reports/*.md"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    nav = (root / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in listed.stdout.split() if f": {name}\n" not in nav] == []


def test_the_reference_shows_functions_with_their_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    functions = re.findall(r'<h4 id="([\w.]+)"', page)
    assert any(name.endswith(".load_clips") for name in functions)
    assert any(name.endswith(".mutual") for name in functions)
    assert "uint8 [views * crops, T, crop, crop, 3] RGB" in page
    assert not any(re.search(r"\._[a-z]", name) for name in functions)


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)\b[^>]*\bsrc="?(?:https?:)?//[^>]*', text), (
            page
        )
        assert not re.findall(r'<link\b[^>]*\bhref="?(?:https?:)?//[^>]*', text), page
        assert 'class="mermaid"' not in text, f"{page}: mermaid is loaded from another host"
