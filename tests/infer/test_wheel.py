"""What `pip install .` puts on a machine: one package, which predicts without the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built with the setuptools that is installed.

    The checkout has built others before, with modules that are gone, and the documentation's site.
    """
    pytest.importorskip("setuptools", minversion="69")
    folder = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for file in (ROOT / "infer").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = source / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    for left in ("lib/clipduet/gone.py", "lib/clipduet/clips/gone.py", "lib/train/gone.py"):
        old = source / "build" / left
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("")
    site = source / "build" / "site" / "index.html"
    site.parent.mkdir()
    site.write_text("the documentation")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.read_text() == "the documentation"
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files where nothing else of the checkout is; packages are those of the tests."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    return site


def run(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python code where the path is `site` and the installed packages, and no checkout."""
    head = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        others = [p for p in sys.path if p and not (Path(p) / "infer").is_dir()]
        sys.path[:] = [{str(site)!r}, *others]
        sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in str(f)]
        """
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        cwd=site,
        env=environment,
    )


def test_one_name_is_installed_with_every_module_of_infer(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"clipduet"}
    inside = {name.removeprefix("clipduet/") for name in names if name.startswith("clipduet/")}
    expected = {
        str(path.relative_to(ROOT / "infer"))
        for path in (ROOT / "infer").rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js") or path.name == "py.typed"
    }
    assert inside == expected


def test_the_version_is_the_one_in_the_package(wheel: Path) -> None:
    text = (ROOT / "infer" / "__init__.py").read_text()
    version = re.search(r'__version__ = "([^"]+)"', text)
    assert version is not None and f"-{version[1]}-" in wheel.name


def test_it_predicts_by_api_and_by_command_without_the_checkout(
    installed: Path, make_bundle: Callable[..., Path], colour_clip: Callable[..., Path]
) -> None:
    bundle, clip = make_bundle(), colour_clip("a.mp4", "red")
    code = """
        import json, sys
        import clipduet
        assert "train" not in sys.modules and "onnxruntime" not in sys.modules
        with clipduet.load(sys.argv[1], backend="onnxruntime", threads=1) as model:
            print(json.dumps([one.to_dict() for one in model.predict(sys.argv[2])]))
        for name in ("infer", "train", "export", "benchmarks"):
            try:
                __import__(name)
            except ImportError:
                continue
            raise SystemExit(f"{name} is there")
        """
    done = run(installed, code, str(bundle), str(clip))
    assert done.returncode == 0, done.stderr
    (by_api,) = json.loads(done.stdout)
    assert by_api["label"] == "red" and by_api["error"] is None
    command = """
        import sys
        from clipduet.__main__ import main
        main(sys.argv[1:])
        """
    options = ("predict", "--bundle", str(bundle), "--video", str(clip), "--format", "json")
    done = run(installed, command, *options, "--isolate")
    assert done.returncode == 0, done.stderr
    (by_command,) = (json.loads(line) for line in done.stdout.splitlines())
    assert by_command["topk"][0]["label"] == by_api["label"]
    assert by_command["topk"][0]["score"] == pytest.approx(by_api["score"], abs=1e-6)


def test_without_a_bundle_it_names_what_an_installed_package_has(installed: Path) -> None:
    code = """
        import sys
        from clipduet.__main__ import main
        main(["predict", "--video", "a.mp4", *sys.argv[1:]])
        """
    for named in ((), ("--bundle", "none")):
        done = run(installed, code, *named)
        assert done.returncode == 2 and done.stdout == ""
        assert "--bundle" in done.stderr and "make" not in done.stderr


def test_packages_that_it_lacks_are_named_without_a_checkout(installed: Path) -> None:
    code = """
        import sys
        sys.modules["cv2"] = None
        from clipduet.command.missing import why_not
        print(why_not(ModuleNotFoundError(name="cv2")))
        print(why_not(ImportError("libGL.so.1 is not there", name="cv2")))
        """
    missing, broken = run(installed, code).stdout.splitlines()
    assert "cv2" in missing and "clipduet" in missing and "make" not in missing
    assert "python -m clipduet.doctor" in broken


def test_commands_that_install_work_without_a_checkout(installed: Path) -> None:
    code = """
        import sys
        from clipduet import ClipDuetError
        from clipduet.__main__ import main
        from clipduet.command.missing import why_not
        print(why_not(ModuleNotFoundError(name="cv2")))
        from clipduet.containers.decoder import check_decoder
        try:
            check_decoder("1.0")
        except ClipDuetError as error:
            print(error)
        sys.modules["openvino"] = None
        main(["doctor", "--format", "json"])
        """
    done = run(installed, code)
    assert done.stdout.count("pip install") >= 3 and "constraints" not in done.stdout
    assert " .[" not in done.stdout and "'.[" not in done.stdout


def test_doctor_looks_at_every_backend_under_the_installed_name(installed: Path) -> None:
    code = """
        import sys
        from clipduet.__main__ import main
        main(["doctor", "--format", "json"])
        """
    done = run(installed, code)
    report = json.loads(done.stdout)
    problems = " ".join(str(one["reason"]) for one in report["backends"])
    assert "ModuleNotFoundError: No module named 'infer'" not in problems
    assert {one["backend"]: one["runs"] for one in report["backends"]}["onnxruntime"]
