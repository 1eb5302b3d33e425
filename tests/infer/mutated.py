"""Read damaged copies of a video, one after the other, in a process that may die of it.

`python -m tests.infer.mutated VIDEO FIRST COUNT FOLDER` prints one line a copy: its number, and
`read` or `refused`. The number is the seed of its damage, so that one copy can be made again. A
copy that takes longer than a minute ends the process by SIGALRM.
"""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

from infer.clips.decode import read_video
from infer.system.errors import VideoError

LONGEST = 60  # seconds a copy may take


def damaged(data: bytes, seed: int) -> bytes:
    """A copy with one to four kinds of damage, as disks, networks and editors do it."""
    rng = random.Random(seed)
    copy = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not copy:
            break
        # Half of the damage falls into the first kilobyte: headers and indices.
        here = rng.randrange(min(len(copy), 1024) if rng.random() < 0.5 else len(copy))
        length = rng.choice((1, 2, 4, 16, 256, 4096))
        match rng.randrange(7):
            case 0:
                copy[here] ^= 1 << rng.randrange(8)
            case 1:
                copy[here : here + length] = bytes(len(copy[here : here + length]))
            case 2:
                copy[here : here + length] = b"\xff" * len(copy[here : here + length])
            case 3:
                copy[here : here + length] = rng.randbytes(len(copy[here : here + length]))
            case 4:
                del copy[here : here + length]
            case 5:
                copy[here:here] = copy[here : here + length]
            case _:
                del copy[here:]
    return bytes(copy)


def main(video: str, first: str, count: str, folder: str) -> None:
    """Read every copy."""
    source = Path(video)
    data = source.read_bytes()
    copy = Path(folder) / f"copy{source.suffix}"
    for seed in range(int(first), int(first) + int(count)):
        copy.write_bytes(damaged(data, seed))
        print(seed, end=" ", flush=True)
        signal.alarm(LONGEST)
        try:
            frames, info = read_video(copy, lambda n: range(0, n, max(1, n // 4)))
            assert len(frames) > 0 and info.frames > 0
            print("read", flush=True)
        except VideoError as error:
            print("refused" if error.reason and "\n" not in error.reason else error, flush=True)
        finally:
            signal.alarm(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
