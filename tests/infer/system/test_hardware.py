"""How many cores and how much memory there are to use, as a container has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infer.bundle.bundle import Bundle
from infer.runtimes.open import open_runtime
from infer.system import hardware

V1, V2 = "2:cpu,cpuacct:/docker/a1\n1:memory:/docker/a1\n", "0::/docker/a1\n"


def write(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        file = folder / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "own").write_text(own)
    return folder / "groups", folder / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (V2, {"cpu.max": "200000 100000\n"}, 2),
        (V2, {"cpu.max": "max 100000\n"}, None),
        (V2, {"docker/a1/cpu.max": "150000 100000\n", "docker/cpu.max": "max 100000\n"}, 2),
        (V2, {"docker/a1/cpu.max": "max 100000\n", "docker/cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"unified/cpu.max": "10000 100000\n"}, 1),
        (V1, {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        (
            V1,
            {
                "cpu,cpuacct/docker/a1/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/docker/a1/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        (V2, {"cpu.max": "nonsense\n"}, None),
        (V2, {"elsewhere/cpu.max": "100000 100000\n"}, None),
        ("", {}, None),
    ],
)
def test_a_quota_of_either_version_is_found(
    own: str, files: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    assert hardware.quota(*write(tmp_path, own, files)) == expected


def test_no_control_groups_are_no_quota(tmp_path: Path) -> None:
    assert hardware.quota(tmp_path, tmp_path / "own") is None


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        (V2, {"memory.max": "2048\n"}, 2048),
        (V2, {"memory.max": "max\n"}, 8192),
        (V2, {"docker/a1/memory.max": "max\n", "docker/memory.max": "4096\n"}, 4096),
        (V2, {"memory.max": f"{1 << 62}\n"}, 8192),
        (V1, {"memory/memory.limit_in_bytes": "2048\n"}, 2048),
        (V1, {"memory/docker/a1/memory.limit_in_bytes": "1024\n"}, 1024),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8192),
        (V2, {"memory.max": "nonsense\n"}, 8192),
        ("", {}, 8192),
    ],
)
def test_memory_is_that_of_the_machine_or_what_a_container_may_take(
    own: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2}.__getitem__)
    assert hardware.memory_bytes(*write(tmp_path, own, files)) == expected


@pytest.mark.parametrize(("allowed", "seen", "expected"), [(1, 8, 1), (16, 8, 8), (None, 8, 8)])
def test_cores_are_those_seen_or_those_paid_for(
    allowed: int | None, seen: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "quota", lambda: allowed)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(seen))
    assert hardware.cores() == hardware.cpu().cores == expected
    assert hardware.threads_of(5) == 5
    assert hardware.threads_of(None) == (1 if allowed == 1 else None)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_runtime_starts_no_more_threads_than_the_quota(
    backend: str, bundle_for, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(bundle_for(backend))
    asked = []
    monkeypatch.setattr(hardware, "quota", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8))
    if backend == "onnxruntime":
        import onnxruntime

        start = onnxruntime.InferenceSession

        def session(model, options, **settings):
            asked.append(options.intra_op_num_threads)
            return start(model, options, **settings)

        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    else:
        import openvino

        load = openvino.Core.compile_model

        def compiled(core, model, device, config):
            asked.append(config["INFERENCE_NUM_THREADS"])
            return load(core, model, device, config)

        monkeypatch.setattr(openvino.Core, "compile_model", compiled)
    open_runtime(bundle, backend=backend).close()
    assert asked == [1]
