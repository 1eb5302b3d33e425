"""What a run tells while it goes: a progress bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from infer.errors import ClipDuetError

if TYPE_CHECKING:
    from train.run import Run


EVERY = 30.0
"""Seconds between two lines within an epoch where there is no terminal."""


class Reporter:
    """Writes to ``stream``; None writes nothing.

    Args:
        stream: where to.
        scalars: folder for VisualDL's scalars, or None.
    """

    def __init__(self, stream: IO[str] | None, *, scalars: str | None = None) -> None:
        self._stream = stream
        self._bar: Any = None
        self._scalars = _scalar_writer(scalars) if scalars else None
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

    def step(self, run: Run) -> None:
        """Called after every step."""
        progress, total = run.progress, run.steps_per_epoch * run.cfg.epochs
        if self._started is None:
            self._started = time.monotonic(), progress.step - 1
        if self._scalars is not None and progress.step % run.cfg.log_interval == 0:
            for name, value in progress.means().items():
                self._scalars.add_scalar(f"train/{name}", value, progress.step)
        if self._stream is None:
            return
        if not self._stream.isatty():
            now = time.monotonic()
            if now - self._told >= EVERY:
                self._told = now
                self.note(
                    f"epoch {progress.epoch + 1:3d}/{run.cfg.epochs}  step {progress.step}/{total}"
                    f"  {_figures(progress.means())}  {self._speed(run)}"
                )
            return
        if self._bar is None:
            self._bar = tqdm(total=total, initial=progress.step - 1, unit="step", leave=False)
        self._bar.update(1)
        if progress.step % run.cfg.log_interval == 0:
            rate = self._bar.format_dict["rate"] or 0.0
            self._bar.set_description(f"epoch {progress.epoch + 1}/{run.cfg.epochs}")
            self._bar.set_postfix_str(
                f"{_figures(progress.means())} {rate * run.clips_per_step:.0f} clips/s"
            )

    def epoch(self, run: Run, record: dict[str, Any]) -> None:
        """Called after every epoch's validation."""
        if self._scalars is not None:
            for name, value in record.items():
                if name.startswith("valid."):
                    self._scalars.add_scalar(name.replace(".", "/", 1), value, record["step"])
        train = {k.removeprefix("train."): v for k, v in record.items() if k.startswith("train.")}
        best = run.progress.best
        self.note(
            f"epoch {record['epoch']:3d}/{run.cfg.epochs}  {_figures(train)}  "
            f"valid {record['valid.Student.top1']:.4f}  best {best['top1']:.4f}"
            f"  {self._speed(run)}"
        )

    def close(self) -> None:
        """Put the terminal back in order."""
        if self._bar is not None:
            self._bar.close()
        if self._scalars is not None:
            self._scalars.close()

    def _speed(self, run: Run) -> str:
        """Clips a second and the time left, validation included."""
        if self._started is None:
            return ""
        since, first = self._started
        steps = run.progress.step - first
        if steps < 2:  # the clock began with the first one's end
            return ""
        rate = steps / max(1e-9, time.monotonic() - since)
        left = (run.steps_per_epoch * run.cfg.epochs - run.progress.step) / rate
        eta = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        return f"{rate * run.clips_per_step:.0f} clips/s  {eta} left"


def _figures(means: dict[str, float]) -> str:
    """Loss and the accuracy of each network, short."""
    accuracies = [
        f"{name.removesuffix('.top1')} {value:.3f}"
        for name, value in means.items()
        if name.endswith(".top1")
    ]
    return " ".join([f"loss {means.get('loss', float('nan')):.3f}", *accuracies])


def _scalar_writer(folder: str) -> Any:
    """VisualDL's writer; it is an optional extra.

    Raises:
        ClipDuetError: it is not installed.
    """
    try:
        from visualdl import LogWriter
    except ImportError as error:
        raise ClipDuetError(
            "VisualDL is not installed: pip install -c constraints.txt '.[visualdl]', "
            "or leave --visualdl out"
        ) from error
    return LogWriter(logdir=folder)
