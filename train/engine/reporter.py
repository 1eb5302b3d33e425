"""What a run tells while it goes: a progress bar on a terminal, lines elsewhere.

The parts of a line stand in the order of their importance, two spaces between them. Where it is too
long for a terminal, it goes on below with its next part; a progress bar leaves the last ones out.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from infer.system.hardware import peak_bytes
from infer.system.terminal import can_redraw
from train.engine.scalars import Scalars
from train.engine.stage_progress import StageProgress

if TYPE_CHECKING:
    from train.engine.run import Run


EVERY = 30.0
"""Seconds between two lines within an epoch where there is no terminal."""
WIDTH = 80
"""Of a terminal that does not say it."""
BAR = "{percentage:3.0f}%  {desc}"
BAR_WIDTH = len("100%  ")


class Reporter:
    """Writes to `stream`; None writes nothing.

    Args:
        stream: where to.
        scalars: what takes the numbers of steps and epochs for drawing, or None.
        stage: which stage of a run this is; None: the only one.
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        scalars: Scalars | None = None,
        stage: StageProgress | None = None,
    ) -> None:
        self._stream = stream
        self._stage = stage or StageProgress()
        self._bar: Any = None
        self._fresh = True
        self._scalars = scalars
        self._started: tuple[float, int] | None = None
        self._told = time.monotonic()

    def note(self, text: str) -> None:
        """One line that stays."""
        if self._stream is None:
            return
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def line(self, text: str) -> None:
        """One line that stays, of parts with two spaces between them."""
        if self._stream is not None and self._stream.isatty():
            text = wrapped(text, columns(self._stream))
        self.note(text)

    def step(self, run: Run) -> None:
        """Called after every step."""
        progress, total = run.progress, run.total_steps
        if self._started is None:
            self._started = time.monotonic(), progress.step - 1
        if self._scalars is not None and progress.step % run.cfg.log_interval == 0:
            for name, value in progress.means().items():
                self._scalars.add(f"train/{name}", value, progress.step)
        if self._stream is None:
            return
        if not can_redraw(self._stream):
            now = time.monotonic()
            if now - self._told >= EVERY:
                self._told = now
                self.note(self._line(run, progress.epoch + 1, progress.means()))
            return
        if self._bar is None:
            self._bar = tqdm(
                total=total, initial=progress.step - 1, leave=False, bar_format=BAR,
                file=self._stream,
            )  # fmt: skip
        if self._fresh or progress.step % run.cfg.log_interval == 0:
            self._fresh = False
            line = self._line(run, progress.epoch + 1, progress.means())
            # A terminal that is as wide as the line would go on to the next one.
            width = columns(self._stream) - BAR_WIDTH - 1
            self._bar.set_description_str(fitting(line, width), refresh=False)
        self._bar.update(1)

    def epoch(self, run: Run, record: dict[str, Any]) -> None:
        """Called after every epoch's validation."""
        if self._scalars is not None:
            for name, value in record.items():
                if name.startswith("valid."):
                    self._scalars.add(name.replace(".", "/", 1), value, record["step"])
        train = {k.removeprefix("train."): v for k, v in record.items() if k.startswith("train.")}
        self._told, self._fresh = time.monotonic(), True
        self.line(self._line(run, record["epoch"], train, record["valid.Student.top1"]))

    def close(self) -> None:
        """Put the terminal back in order."""
        if self._bar is not None:
            self._bar.close()
        if self._scalars is not None:
            self._scalars.close()

    def _line(
        self, run: Run, epoch: int, train: dict[str, float], valid: float | None = None
    ) -> str:
        """Where the run stands; `valid`: the top-1 of an epoch that is complete."""
        speed, left = self._pace(run)
        best = run.progress.best["top1"]
        if valid is not None:
            accuracies = [f"val top-1 {valid:.4f} (best {best:.4f})", _accuracies(train)]
        else:
            accuracies = [_accuracies(train), f"best val top-1 {best:.4f}" if best >= 0 else ""]
        parts = [
            self._stage.short,
            f"epoch {epoch}/{run.epochs}",
            left,
            *accuracies,
            f"loss {train.get('loss', float('nan')):.3f}",
            speed,
            "" if valid is not None else f"step {run.progress.step}",
        ]
        return "  ".join(part for part in parts if part)

    def _pace(self, run: Run) -> tuple[str, str]:
        """Clips a second, and the time left, with validation and the stages that follow."""
        if self._started is None:
            return "", ""
        since, first = self._started
        steps = run.progress.step - first
        if steps < 2:  # the clock began with the first one's end
            return "", ""
        rate = steps / max(1e-9, time.monotonic() - since)
        left = run.total_steps - run.progress.step
        later = self._stage.later
        what = "left" if later is not None else "left in this stage"
        return (
            f"{rate * run.clips_per_step:.0f} clips/s",
            f"{duration((left + (later or 0.0)) / rate)} {what}",
        )


def duration(seconds: float) -> str:
    """A time for people, in two units at most: 19 s, 48 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def columns(stream: TextIO) -> int:
    """How wide the terminal is; standard output may well be a file while this is one."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH


def wrapped(line: str, width: int) -> str:
    """A line on several, each of as many parts as fit."""
    lines: list[str] = []
    for part in _parts(line):
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += "  " + part
        else:
            lines.append(part if not lines else "    " + part)
    return "\n".join(lines)


def fitting(line: str, width: int) -> str:
    """As many of a line's first parts as fit; the first one alone may be cut, and shows it."""
    shown, *others = _parts(line)
    for part in others:
        if len(shown) + 2 + len(part) > width:
            break
        shown += "  " + part
    return shown if len(shown) <= width else shown[: max(0, width - 1)] + "\u2026"


def _parts(line: str) -> Sequence[str]:
    return re.split(r" {2,}", line.strip())


def _accuracies(means: dict[str, float]) -> str:
    """The accuracy of each network on training clips so far."""
    found = {k.removesuffix(".top1"): v for k, v in means.items() if k.endswith(".top1")}
    if not found:
        return ""
    if len(found) == 1:
        return f"train top-1 {next(iter(found.values())):.3f}"
    return "train top-1 " + " ".join(f"{role} {value:.3f}" for role, value in found.items())


def peak_memory() -> int:
    """The most bytes held at once: on the GPU where there is one, else by the process."""
    import paddle

    if paddle.device.get_device().startswith("gpu"):
        return int(paddle.device.cuda.max_memory_allocated())
    own = peak_bytes()
    if own is not None:
        return own
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
