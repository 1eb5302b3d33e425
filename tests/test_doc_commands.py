"""Every command in README and docs/ exists: modules, options and their values, targets, extras."""

from __future__ import annotations

import configparser
import functools
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_commands import MODULES
from tests.test_doc_blocks import ALL, PAGES

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("infer", "train", "export", "benchmarks")
OF_OTHERS = ("find", "pre-commit", "tritonserver", "unrar", "docker", "curl", "cmake", "serve", ".")
"""Commands that are not ours, whose options are not looked at."""
OPTIONS_OF_OTHERS = {
    *("--gpus", "--host", "--master", "--nnodes", "--nproc_per_node", "--rank"),
    *("--system-site-packages", "--opt_out", "--tmpfs"),
}
"""Docker's and Paddle's launcher's; venv's; OpenVINO's."""


@functools.cache
def options_of(*command: str) -> dict[str, tuple[str, ...]]:
    """The options in the help of a command, each with the values it allows, if they are listed."""
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, (command, done.stderr)
    found: dict[str, tuple[str, ...]] = {}
    for option, values in re.findall(r"(?<![\w-])(--?\w[\w-]*)(?: \{([^}]*)\})?", done.stdout):
        found[option] = tuple(values.split(",")) if values else found.get(option, ())
    return found


@functools.cache
def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):.* ## ", text, re.MULTILINE))


@functools.cache
def variables() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^#   ([A-Z_]+)=", text, re.MULTILINE))


@functools.cache
def extras() -> set[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(setup["options.extras_require"])


def commands(text: str) -> list[list[str]]:
    """The words of each command of a shell script."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;", line):
            words = shlex.split(part, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                found.append(words)
    return found


def problems(words: list[str]) -> list[str]:
    """What does not exist of a command."""
    name, *rest = words
    name = name.removeprefix(".venv/bin/")
    missing = [word for word in rest if word.startswith("configs/") and not (ROOT / word).exists()]
    if name == "make":
        given = [word.split("=")[0] for word in rest if "=" in word]
        missing += set(given) - variables()
        return [*missing, *(word for word in rest if "=" not in word and word not in targets())]
    if name == "pip":
        wanted = [extra for word in rest for extra in re.findall(r"^\.\[(.+)\]$", word)]
        return [extra for extra in ",".join(wanted).split(",") if extra and extra not in extras()]
    if name == "clipduet":
        return missing + wrong_options(rest[1:], "-m", "infer", *rest[:1])
    if name not in ("python", "python3"):
        return [] if name in OF_OTHERS else [f"unknown command {name}"]
    if rest[0] == "-m":
        if rest[1].split(".")[0] in ROOMS:
            return missing + wrong_options(rest[2:], "-m", rest[1])
        files = [word for word in rest if word.endswith(".py") and not (ROOT / word).is_file()]
        return [*missing, *files]
    # The client is copied into the repository that a server reads.
    file = re.sub(r"^\w+/client/(?=(video_)?client\.py$)", "export/triton/", rest[0])
    if not (ROOT / file).is_file():
        return [*missing, file]
    return missing + wrong_options(rest[1:], file)


def wrong_options(words: list[str], *command: str) -> list[str]:
    """Options that a command lacks, and values that an option does not allow."""
    known = options_of(*command)
    wrong = []
    for word, value in itertools.pairwise([*words, ""]):
        option = word.strip("[]")
        if not re.match(r"--?[a-zA-Z]", option):
            continue
        if option not in known:
            wrong.append(option)
        elif known[option] and not set(value.split(",")) <= set(known[option]):
            wrong.append(f"{option} {value}")
    return wrong


def spans(page: Path) -> list[str]:
    """The inline code of a page."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.language == "sh"], ids=lambda block: block.place
)
def test_the_commands_of_a_block_exist(block) -> None:
    found = commands(block.code)
    assert found
    assert {" ".join(words): problems(words) for words in found if problems(words)} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_in_the_text_exist(page: Path) -> None:
    texts = [
        span for span in spans(page)
        if re.match(r"(\.venv/bin/)?(python3?|make|clipduet|pip) ", span)
    ]  # fmt: skip
    found = [words for text in texts for words in commands(text.replace(" ...", "")) if words[1:]]
    found = [words for words in found if words[1:] != ["-m"]]
    assert {" ".join(words): problems(words) for words in found if problems(words)} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_options_in_the_text_are_those_of_a_command(page: Path) -> None:
    named = {option for span in spans(page) for option in re.findall(r"^(--\w[\w-]*)", span)}
    known = {option for module in MODULES for option in options_of("-m", module)}
    assert named - known - OPTIONS_OF_OTHERS == set()


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("make nothing CONFIG=a.yaml", ["nothing"]),
        ("make train-dml COLOUR=red", ["COLOUR"]),
        ("python -m infer.predict --video a.mp4 --colour", ["--colour"]),
        ("python -m infer.predict --video a.mp4 --format xml", ["--format xml"]),
        ("X=1 python -m train -c configs/missing.yaml # a comment", ["configs/missing.yaml"]),
        ("clipduet doctor --bundl B", ["--bundl"]),
        ("pip install '.[export,nothing]'", ["nothing"]),
        ("python infer/missing.py", ["infer/missing.py"]),
        ("nonsense", ["unknown command nonsense"]),
    ],
)
def test_what_does_not_exist_is_found(command: str, missing: list[str]) -> None:
    (words,) = commands(command)
    assert problems(words) == missing
