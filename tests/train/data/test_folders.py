import subprocess
import sys
from pathlib import Path

import pytest

from train.data.class_folders import FoldersError, find_clips
from train.data.folders import digest_clips, main, split_clips
from train.data.lists import read_list


def tree(root, names):
    """Files whose bytes are their names: the split looks at bytes, not at pictures."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return root


def classes_tree(root, per_class=20):
    return tree(root, [f"{c}/clip {i}.mp4" for c in ("run", "walk") for i in range(per_class)])


def split(root, **options):
    clips = find_clips(root)
    return split_clips(clips, digest_clips(root, clips), **options)


def test_lists_hold_every_clip_once_stratified_and_readable(tmp_path, capsys):
    root = classes_tree(tmp_path / "clips")
    assert main(["--root", str(root), "--out", str(tmp_path / "out"), "--test-share", "0.2"]) == 0
    assert "run" in capsys.readouterr().out
    assert (tmp_path / "out/classes.txt").read_text() == "run\nwalk\n"
    seen = []
    for name, each in (("train", 13), ("val", 3), ("test", 4)):
        samples = read_list(tmp_path / f"out/{name}.list", root=root, num_classes=2)
        labels = [sample.label for sample in samples]
        assert (labels.count(0), labels.count(1)) == (each, each)
        assert all(s.path.parent.name == ("run", "walk")[s.label] for s in samples)
        seen += [sample.path for sample in samples]
    assert sorted(seen) == sorted(root.glob("*/*.mp4"))


def test_split_depends_on_bytes_not_on_names(tmp_path):
    first = split(classes_tree(tmp_path / "a"))
    for file in sorted((tmp_path / "a").glob("*/*.mp4")):
        target = tmp_path / "b" / file.parent.name / f"renamed {file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    second = split(tmp_path / "b")
    for name in first:
        renamed = sorted(clip.path.replace("renamed ", "") for clip in second[name])
        assert renamed == sorted(clip.path for clip in first[name])


def test_copies_stay_together(tmp_path):
    root = classes_tree(tmp_path, per_class=6)
    for i in range(6):
        (root / f"run/copy {i}.mp4").write_bytes((root / f"run/clip {i}.mp4").read_bytes())
    for part in split(root, val_share=0.3, test_share=0.3).values():
        names = {clip.path for clip in part if clip.label == "run"}
        assert {name.replace("copy", "clip") for name in names} == {
            name for name in names if "clip" in name
        }
        assert len(names) % 2 == 0 and names


def test_scenes_are_held_out_whole(tmp_path):
    names = [f"{s}/{c}/{i}.mp4" for s in ("a", "b", "c") for c in ("run", "walk") for i in range(4)]
    parts = split(tree(tmp_path, names), test_scenes=["b"], val_share=0.25)
    assert {clip.scene for clip in parts["test"]} == {"b"} and len(parts["test"]) == 8
    assert {clip.scene for clip in parts["train"]} == {"a", "c"}
    assert len(parts["val"]) == 4 and not {clip.scene for clip in parts["val"]} & {"b"}


@pytest.mark.parametrize(("clips", "val", "test"), [(1, 0, 0), (2, 0, 0), (3, 1, 1), (5, 1, 1)])
def test_small_classes_keep_a_clip_for_training(tmp_path, clips, val, test):
    parts = split(tree(tmp_path, [f"run/{i}.mp4" for i in range(clips)]))
    assert [len(parts[name]) for name in ("train", "val", "test")] == [
        clips - val - test,
        val,
        test,
    ]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "no video files"),
        (["a.mp4"], {}, "class/clip"),
        (["run/a.mp4", "x/run/b.mp4"], {}, "class/clip"),
        (["#run/a.mp4"], {}, "begin with #"),
        (["run/a.mp4"], {"val_share": 1.5}, "--val-share is 1.5"),
        (["run/a.mp4"], {"val_share": 0.5, "test_share": 0.5}, "nothing is left"),
        (["run/a.mp4"], {"val_scenes": ["x"]}, "no scenes"),
        (["x/run/a.mp4", "y/run/b.mp4"], {"val_scenes": ["z"]}, "there are x, y"),
        (["x/run/a.mp4"], {"val_scenes": ["x"], "test_scenes": ["x"]}, "val"),
        (["x/run/a.mp4", "y/walk/b.mp4"], {"test_scenes": ["x"]}, "run"),
    ],
)
def test_what_cannot_be_split_is_said(tmp_path, names, options, message):
    with pytest.raises(FoldersError, match=message):
        split(tree(tmp_path, names), **options)


def test_one_file_under_two_classes_is_an_error(tmp_path):
    for name in ("run", "walk"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mp4").write_bytes(b"the same")
    with pytest.raises(FoldersError, match=r"run/run\.mp4 = walk/walk\.mp4"):
        split(tmp_path)


def test_command_line_fails_without_a_traceback(tmp_path, root):
    command = [sys.executable, "-m", "train.data.folders", "--root", "nowhere", "--out", "x"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: nowhere")


def test_real_tree_of_cameras(shared, tmp_path):
    railway: Path = shared / "data/railway"
    assert main(["--root", str(railway), "--out", str(tmp_path)]) == 0
    total = sum(
        len(read_list(tmp_path / f"{name}.list", root=railway, num_classes=4))
        for name in ("train", "val", "test")
    )
    assert total == len(list(railway.glob("*/*/*.mp4")))
    names = (tmp_path / "classes.txt").read_text().split()
    assert names == (railway / "labels.txt").read_text().split()


def test_lists_of_somebody_else_are_kept(tmp_path, capsys):
    root, out = classes_tree(tmp_path / "clips"), tmp_path / "out"
    out.mkdir()
    (out / "val.list").write_text("mine 0\n")
    (out / "test.list").write_bytes("größe 0\n".encode("latin-1"))
    command = ["--root", str(root), "--out", str(out)]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "val.list").read_text() == "mine 0\n" and not (out / "train.list").exists()
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 0  # the same lists again
    capsys.readouterr()
    assert main([*command, "--val-share", "0", "--overwrite"]) == 0
    assert "no val.list" in capsys.readouterr().out
    assert not (out / "val.list").exists()
