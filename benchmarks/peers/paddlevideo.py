"""PaddleVideo's predictor as this process uses it: in another one, which answers when asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from infer.libraries.mkl import VARIABLE
from infer.system.errors import os_reason
from infer.system.subprocess_call import ending

PEER = "PaddleVideo"
SERVER = Path(__file__).with_name("paddlevideo_server.py")
NEEDED = ("paddlevideo", "tools/utils.py", "tools/export_model.py", "tools/predict.py")
"""Of a checkout."""


class FileProblem(BenchmarkError):
    """PaddleVideo's code raised something over a file; the process goes on."""


class PaddleVideo:
    """PaddleVideo's own export and predictor; a context manager.

    Args:
        checkout: of PaddleVideo.
        python: the interpreter that runs it.

    Raises:
        BenchmarkError: no checkout, an interpreter that does not start, or packages that it lacks.
    """

    def __init__(self, checkout: Path, python: str) -> None:
        if not all((checkout / part).exists() for part in NEEDED):
            raise BenchmarkError(
                f"{checkout} is no checkout of PaddleVideo: "
                "git clone https://github.com/PaddlePaddle/PaddleVideo"
            )
        self.commit = commit_of(checkout)
        self._python = python
        self._stack = stack = contextlib.ExitStack()
        # Its logger writes into the current folder.
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._said = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        command = [python, str(SERVER), str(checkout.resolve())]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                cwd=self._folder,
                env=users_environment(),
            )
        except OSError as error:
            self._stack.close()
            raise BenchmarkError(
                f"--paddlevideo-python {python} does not start: {os_reason(error)}"
            ) from error
        try:
            self.versions = self._ask("versions")
        except BaseException:
            self.close()
            raise

    def open(self, config: Path, weights: Path, *, threads: int) -> None:
        """Export the network of a YAML file of PaddleVideo's with these weights, and load it.

        Args:
            config: the YAML.
            weights: a state dict by its keys, `backbone.*` and `head.*`.
            threads: of Paddle Inference.

        Raises:
            BenchmarkError: its code failed.
        """
        folder = self._folder / "exported"
        folder.mkdir()
        self._ask(
            "open",
            config=str(config.resolve()),
            weights=str(weights.resolve()),
            folder=str(folder),
            threads=threads,
        )

    def answer(self, files: Sequence[Path], *, batch_size: int = 1) -> dict[str, Any]:
        """Its loop over files, one after the other; see `paddlevideo_server.Peer.answer`.

        Raises:
            FileProblem: it cannot read one.
            BenchmarkError: its process ended.
        """
        paths = [str(file.resolve()) for file in files]
        return self._ask("answer", files=paths, batch_size=batch_size)

    def _ask(self, do: str, **request: Any) -> Any:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps({"do": do, **request}).encode() + b"\n")
            requests.flush()
        line = answers.readline()
        if not line:
            names = ", ".join(Path(file).name for file in request.get("files", [])[:3])
            raise BenchmarkError(
                f"PaddleVideo {ending(self._process.wait(), self._said)}"
                + (f" (at {names}: leave it out of --clips)" if names else "")
            )
        answer = json.loads(line)
        if "missing" in answer:
            raise BenchmarkError(
                f"PaddleVideo's code needs packages that {self._python} lacks: "
                f"{answer['missing']}. Install them there (`pip install '.[peers]'` brings what it "
                "needs), or name an interpreter that has them with --paddlevideo-python"
            )
        if "problem" in answer:
            kind = FileProblem if do == "answer" else BenchmarkError
            raise kind(f"PaddleVideo's code failed: {answer['problem']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)  # no more requests end it
        self._process.kill()
        self._process.wait()
        self._stack.close()

    def __enter__(self) -> PaddleVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self._process.kill()
        self.close()


def users_environment(file: Path = Path("/proc/self/environ")) -> dict[str, str]:
    """This process's environment, as a user of PaddleVideo has it.

    Without what this program sets for Paddle on AMD processors, where the user has not set it.

    Args:
        file: the environment that this process was started with.
    """
    environment = dict(os.environ)
    with contextlib.suppress(OSError):
        own = file.read_bytes().split(b"\0")
        if not any(entry.startswith(f"{VARIABLE}=".encode()) for entry in own):
            environment.pop(VARIABLE, None)
    return environment


def commit_of(checkout: Path) -> str | None:
    """The commit of a checkout; None where git does not say."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
