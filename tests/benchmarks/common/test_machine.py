"""The record of the machine: complete, ready for JSON, and without names of persons or hosts."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from benchmarks.common import machine


def test_the_record_is_json_and_names_no_host() -> None:
    record = machine.machine()
    text = json.dumps(record)
    assert record["cores"] >= 1 and record["packages"]["numpy"]
    assert {"cpu", "system", "kernel", "python", "memory_bytes"} <= set(record)
    host = socket.gethostname()
    assert len(host) < 4 or host not in text


def test_work_of_others_is_what_this_process_did_not_do() -> None:
    assert machine.cores_of_others((10.0, 1.0, 100.0), (30.0, 6.0, 110.0)) == 1.5
    assert machine.cores_of_others((10.0, 1.0, 100.0), (14.0, 6.0, 110.0)) == 0.0
    assert machine.cores_of_others(None, (1.0, 1.0, 1.0)) is None


def test_times_of_the_processors_only_grow() -> None:
    if not Path("/proc/stat").is_file():
        pytest.skip("this system does not tell the times of its processors")
    before, after = machine.cpu_times(), machine.cpu_times()
    assert before is not None and after is not None
    assert all(a <= b for a, b in zip(before, after, strict=True))


def test_only_installed_packages_have_a_version() -> None:
    assert set(machine.package_versions(["numpy", "no-such-package-at-all"])) == {"numpy"}
