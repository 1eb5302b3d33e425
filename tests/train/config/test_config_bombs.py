"""Configs that would take all time or memory are refused at once, and with their place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.train.config.config_cases import PAIR
from train.config.load import ConfigError, load_config
from train.config.yaml_text import MOST_VALUES, parse_document

# What is refused late would run for minutes, or for ever.
pytestmark = pytest.mark.timeout(60)

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGED = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
# name: text, line, a word of what is told
BOMBS = {
    "laughs": (LAUGHS, 1, "multiply"),
    "laughs in a key": (LAUGHS + "? *j\n: 1\n", 1, "multiply"),
    "laughs of mappings": (LAUGHS.replace("[", "{a: {b: 1}, c: [").replace("]", "]}"), 1,
                           "multiply"),
    "merged laughs": (MERGED, 6, "merge keys repeat"),
    "many merged": ("a: &a {" + ",".join(f"k{i}" for i in range(4000)) + "}\nb: {<<: ["
                    + ",".join(["*a"] * 3000) + "]}\n", 2, "merge keys repeat"),
    "deep lists": ("x: 1\na: " + "[" * 500 + "]" * 500 + "\n", 2, "50 deep"),
    "very deep lists": ("a: " + "[" * 400_000, 1, "50 deep"),
    "deep blocks": ("- " * 500 + "x\n", 1, "50 deep"),
    "deep mappings": ("\n".join(" " * i + "a:" for i in range(500)) + " 1\n", 50, "50 deep"),
    "deep aliases": ("a: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 500)), 1, "50 deep"),
    "many keys": ("\n".join(f"k{i}: 1" for i in range(70_000)), MOST_VALUES // 2, "20,000"),
    "many entries": ("a:\n" + "- x\n" * 200_000, MOST_VALUES - 1, "20,000"),
    "the same key": ("a: 1\n" * 10_001, 10_000, "20,000"),
    "a long number": ("a: 1\nseed: " + "9" * 4000 + "\n", 2, "4,000 digits"),
    "a longer number": ("a: 1\nseed: 0x" + "f" * 90 + "\n", 2, "64 bits"),
    "a long number as a key": ("? " + "9" * 4000 + "\n: 1\n", 1, "4,000 digits"),
    "a long fraction": ("seed: 0." + "3" * 5000 + "\n", 1, "allowed: at most"),
    "a number of parts": ("seed: !!int '" + "1:" * 2000 + "1'\n", 1, "digits"),
    "a long text": ("a: " + "x" * 5000 + "\n", 1, "5,000 characters"),
    "variables in variables": ("a: '" + "${" * 100_000 + "'\n", 1, "200,000 characters"),
    "NUL": ('a: 1\nb: "x\\0y"\n', 2, "'\\x00' is not allowed"),
    "a bare NUL": ("a: 1\nb: x\0y\n", 2, "'\\x00' is not allowed"),
    "half a character": ('a: "\\ud800"\n', 1, "'\\ud800' is not allowed"),
    "a list in itself": ("a: 1\nb: &b [*b]\n", 2, "inside its own anchor"),
    "a mapping in itself": ("a: &a {b: {c: *a}}\n", 1, "inside its own anchor"),
    "a merge of itself": ("a: &a\n  <<: *a\n", 1, "names the mapping that it stands in"),
    "a merge of a merge of itself": ("a: &a\n  x: &x\n    <<: *a\n  <<: *x\n", 1, "names the"),
    "a merge of text": ("a: {<<: x}\n", 1, "wants a mapping"),
    "a merge of nothing": ("a: {<<: [3]}\n", 1, "wants a mapping"),
    "code": ("a: !!python/object/apply:os.system ['true']\nb: 1\nb: !!python/name:os.system x\n",
             3, "could not determine"),
    "no timestamp": ("a: 1\nb: !!timestamp x\n", 2, "is no timestamp"),
    "no number": ("a: 1\nb: !!int ''\n", 2, "is no int"),
    "no boolean": ("a: !!bool maybe\n", 1, "is no bool"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "single document"),
}  # fmt: skip


def told(source: Path | str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides)
    message = str(caught.value)
    assert len(message) < 60_000
    return message


@pytest.mark.parametrize("kind", BOMBS)
def test_a_config_that_is_too_much_is_refused_at_its_place(kind: str, tmp_path: Path) -> None:
    text, line, words = BOMBS[kind]
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    message = told(file)
    assert words in message and f"line {line})" in message
    # The same as a base, and by an override.
    (tmp_path / "child.yaml").write_text("_BASE_: bomb.yaml\n")
    message = told(tmp_path / "child.yaml")
    assert words in message and f"{file}:{line})" in message
    if len(text) < 100_000:
        (tmp_path / "pair.yaml").write_text(PAIR)
        message = told(tmp_path / "pair.yaml", "seed=" + text)
        assert words in message and "-o seed" in message


def test_the_shared_bomb_is_refused(shared: Path) -> None:
    assert "multiply" in told(shared / "faults" / "laughs.yaml")


def test_files_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(1 << 40)
    for name, words in (
        ("fifo.yaml", "not a file"),
        ("/dev/zero", "not a file"),
        ("folder.yaml", "directory"),
        ("loop.yaml", "cannot be read"),
        ("huge.yaml", "1,099,511,627,776 bytes, allowed: at most"),
        ("bytes.yaml", "not text in UTF-8 (byte 8) (line 2)"),
        ("a\0b.yaml", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ):
        assert words.lower() in told(tmp_path / name).lower(), name
        if "\0" in name or len(name) > 4096:
            continue
        (tmp_path / "child.yaml").write_text(f"x: 1\n_BASE_: {name}\n")
        message = told(tmp_path / "child.yaml")
        assert words.split(" (line")[0].lower() in message.lower(), name
        assert "child.yaml" in message


def test_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: {number + 1}.yaml\n")
    assert "20 deep" in told(tmp_path / "0.yaml")
    # Each file names the next one twice.
    for number in range(15):
        after = f"{number + 1}.yaml"
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: [{after}, {after}]\n")
    (tmp_path / "15.yaml").write_text("a: 1\n")
    assert "more than 100 files" in told(tmp_path / "0.yaml")


def test_a_chain_of_usual_length_is_read(tmp_path: Path) -> None:
    (tmp_path / "0.yaml").write_text(PAIR)
    for number in range(1, 15):
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: {number - 1}.yaml\nseed: {number}\n")
    assert load_config(tmp_path / "14.yaml").seed == 14


def test_overrides_that_lead_too_far_are_told(tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text(PAIR)
    assert "50 deep" in told(file, "a" + ".a" * 5000 + "=1")
    for part, words in (("9" * 5000, "unknown entry"), ("²", "unknown entry"), ("٣", "no entry")):
        assert words in told(file, f"MODEL.models.{part}.x=1")
        assert "unknown key" in told(file, f"MODEL.{part}=1")


def test_thousands_of_mistakes_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(PAIR + "\n".join(f"{'unknown' * 20}{i}: 1" for i in range(5000)))
    message = told(file)
    assert "5000 mistakes" in message and "and 4950 more" in message


def test_many_values_are_read_one_after_the_other(tmp_path: Path) -> None:
    """As many as are allowed, in bases that are merged."""
    lines = "\n".join(f"k{i}: 1" for i in range(9000))
    for name in ("a", "b", "c"):
        base = "_BASE_: a.yaml\n" if name != "a" else ""
        (tmp_path / f"{name}.yaml").write_text(base + f"DATASET:\n  {name}: 1\n" + lines)
    (tmp_path / "d.yaml").write_text("_BASE_: [b.yaml, c.yaml]\n")
    assert "mistakes" in told(tmp_path / "d.yaml")


def test_the_command_ends_with_2_and_without_a_traceback(tmp_path: Path, root: Path) -> None:
    (tmp_path / "laughs.yaml").write_text(LAUGHS)
    os.mkfifo(tmp_path / "fifo.yaml")
    for name in ("laughs.yaml", "fifo.yaml"):
        command = [sys.executable, "-m", "train", "-c", str(tmp_path / name)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=50)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert name in done.stderr


pieces = st.sampled_from(
    ["a", ": ", "\n", "- ", "[", "]", "{", "}", "&a ", "*a", "<<", "? ", ", ", "!!int ", "!!map ",
     "!!timestamp ", "!!binary ", "'", '"', "\\x00", "\\ud900", "9" * 120, "0x" + "f" * 20,
     "_BASE_", "_replace_: true", "1e400", ".nan", "  ", "|", ">", "%", "---", "...", "#", "\t",
     "é", "\x85"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(text=st.lists(pieces, max_size=40).map("".join))
def test_any_text_is_data_or_a_mistake_with_its_place(tmp_path: Path, text: str) -> None:
    found = parse_document(text, "x.yaml")
    assert not found.broken or found.mistakes
    assert all("x.yaml" in mistake.origin for mistake in found.mistakes)
    assert "\n" not in "".join(mistake.text for mistake in found.mistakes)
    file = tmp_path / "any.yaml"
    file.write_text(text)
    told(file)


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text("abc", max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
        ),
    )
)
def test_what_is_within_the_limits_is_what_yaml_says(data: object) -> None:
    """Aliases included, which the dumper writes for what occurs twice."""
    text = yaml.safe_dump({"a": data, "b": data, "c": [data]})
    assert parse_document(text, "x").data == yaml.safe_load(text)
