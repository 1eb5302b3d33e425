"""`python -m benchmarks.service.triton`: a real Triton server under load, asked with video files.

The command writes a bundle as a repository, starts the server on the loopback (`make
triton-server` installs it) and asks it over HTTP and gRPC from many clients at once. Some files are
broken or hostile, and processes that read videos are killed at random. Right answers are those of
predict, for the same bytes. Exit status 1 where an answer is missing or wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.service.bodies import GOOD, HOSTILE, Body, drawn, hostile_bodies
from benchmarks.service.process import Watched, children
from benchmarks.service.right_answers import known_bodies
from benchmarks.service.triton_server import STUB, TritonServer, installed, triton_server
from export.option_limits import SEED, SHARE, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.log import logger

log = logger("benchmarks.service.triton")

NUMBERS = {
    "requests": Allowed(1, 10_000_000),
    "clients": Allowed(1, 1000),
    "broken": SHARE,
    "hostile": SHARE,
    "kill_every": Allowed(0, 86_400, "seconds"),
    "seed": SEED,
}
NEAR = 1e-5
"""Of a score: the server's environment has other versions of NumPy and OpenCV."""
CLIENT = Path(__file__).with_name("triton_client.py")


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 all is right, 1 an answer is missing or wrong, 2 wrong use."""
    options = _parser().parse_args(arguments)
    result = carry_out(run, options, allowed=NUMBERS)
    for line in lines(result):
        print(line)
    print(f"written: {options.out}")
    return 0 if result["met"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.service.triton",
        description="Ask a Triton server for video files from many clients at once.",
    )
    add = parser.add_argument
    add("--bundle", type=Path, default=Path("bundles/dml"), help="default: %(default)s")
    add("--video", nargs="+", default=["data/motions/test/0000*.mp4"], metavar="PATH",
        help="files, folders, quoted patterns; default: %(default)s")  # fmt: skip
    add("--requests", type=int, default=2000, help="default: %(default)s")
    add("--clients", type=int, default=16, help="that ask at once (default: %(default)s)")
    add("--broken", type=float, default=0.01, help="share of requests with broken files "
        "(default: %(default)s)")  # fmt: skip
    add("--hostile", type=float, default=0.01, help="share of hostile files (default: %(default)s)")
    add("--kill-every", type=float, default=10.0, metavar="SECONDS",
        help="mean time between two killed workers; 0: none (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the order of requests, and of what is killed")
    add_out(parser, "reports/service/triton.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask, and count; JSON-ready."""
    from export.triton.__main__ import write_repository
    from infer.bundle.bundle import Bundle
    from infer.command.inputs import find_videos

    installed()
    paths = find_videos(options.video).videos
    if not paths:
        raise BenchmarkError(f"--video {' '.join(options.video)} names no video")
    log.info(f"predict answers {len(paths)} videos and their broken copies")
    # Of the hostile requests of HTTP, those that are a file.
    hostile = [body for body in hostile_bodies() if body.group == HOSTILE and not body.headers]
    plan = drawn(
        [*known_bodies(options.bundle, paths), *(body for body in hostile if body.content)],
        options.requests,
        broken=options.broken,
        hostile=options.hostile,
        seed=options.seed,
    )
    with tempfile.TemporaryDirectory(prefix="clipduet-triton-") as name:
        folder = Path(name)
        write_repository(Bundle.load(options.bundle), folder / "repository", precisions=["fp32"])
        (model,) = (folder / "repository" / "videos").iterdir()
        with triton_server([model.parent], folder) as server:
            log.info(f"{options.requests} requests from {options.clients} clients")
            watched = watch(server, kill_every=options.kill_every, seed=options.seed)
            start = time.perf_counter()
            answers = ask(server, model.name, plan, clients=options.clients, folder=folder)
            seconds = time.perf_counter() - start
            watched.end()
            statistics = model_statistics(server, model.name)
    return {
        **header("clipduet.triton", 1),
        "bundle": options.bundle.name,
        "videos": len(paths),
        "clients": options.clients,
        "seed": options.seed,
        **summary(plan, answers, watched, seconds),
        **statistics,
        "machine": machine.machine(),
    }


def watch(server: TritonServer, *, kill_every: float, seed: int) -> Watched:
    """Begin to look at the memory of the server's model, and to kill its workers at random."""
    stubs = [one for one in children(server.process) if STUB in _command_line(one)]
    if len(stubs) != 1:
        raise BenchmarkError(f"the server has {len(stubs)} models, not 1")
    watched = Watched(server.http, stubs[0])
    threading.Thread(
        target=lambda: watched.watch(kill_every=kill_every, seed=seed), daemon=True
    ).start()
    return watched


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def ask(
    server: TritonServer, model: str, plan: Sequence[Body], *, clients: int, folder: Path
) -> list[dict[str, Any]]:
    """The answer to each request; by a program that has nothing of ClipDuet.

    Args:
        server: whom to ask, in turn over HTTP and gRPC.
        model: its name.
        plan: what is sent.
        clients: that send at once.
        folder: for the files.

    Raises:
        BenchmarkError: the program fails.
    """
    files: dict[int, Path] = {}
    for body in plan:
        if id(body) not in files:
            files[id(body)] = folder / f"sent-{len(files)}"
            files[id(body)].write_bytes(body.content)
    requests = [
        {"files": [str(files[id(body)])], "model": model, "protocol": ("http", "grpc")[number % 2]}
        for number, body in enumerate(plan)
    ]
    return ask_server(server, requests, clients=clients)


def ask_server(
    server: TritonServer, requests: Sequence[Mapping[str, Any]], *, clients: int = 1
) -> list[dict[str, Any]]:
    """The answers of `triton_client`, in the order of the requests; {} where there is none."""
    command = [installed().python, "-I", CLIENT, "--clients", str(clients)]
    done = subprocess.run(
        [*map(str, command), "--http", server.http, "--grpc", server.grpc],
        input="".join(json.dumps(one) + "\n" for one in requests),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchmarkError(f"the client fails: {done.stderr.strip()[-2000:]}")
    found: list[dict[str, Any]] = [{} for _ in requests]
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        if found[answer["number"]]:
            raise BenchmarkError(f"request {answer['number']} was answered twice")
        found[answer["number"]] = answer
    return found


def model_statistics(server: TritonServer, model: str) -> dict[str, Any]:
    """How many videos there were in how many batches, by the server's own counters."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{server.http}/v2/models/{model}/stats", timeout=60) as answer:
        (one,) = json.load(answer)["model_stats"]
    batches = {str(batch["batch_size"]): batch["compute_infer"]["count"] for batch in
               one["batch_stats"]}  # fmt: skip
    return {"executions": one["execution_count"], "batches": batches}


def verdict(body: Body, answer: Mapping[str, Any]) -> str:
    """Whether an answer is right; "killed": its file's process was killed; else what is wrong."""
    if not answer:
        return "no answer"
    error = answer.get("error")
    if error is not None and "SIGKILL" in error:
        return "killed"
    wanted: Mapping[str, Any] = body.result if body.result is not None else {"error": ""}
    if (error is None) != ("label" in wanted):
        return f"{error or 'an answer'}, where predict says {wanted.get('error') or 'a label'}"
    if error is not None:
        return "right"
    (label,), (scores,) = answer["label"], answer["scores"]
    far = max(abs(scores[one["index"]] - one["score"]) for one in wanted["topk"])
    if far > NEAR or label != wanted["label"]:
        return f"{label}, {far:.1e} from the scores of predict, which says {wanted['label']}"
    return "right"


def summary(
    plan: Sequence[Body], answers: Sequence[Mapping[str, Any]], watched: Watched, seconds: float
) -> dict[str, Any]:
    """What came of the requests."""
    verdicts = [verdict(body, answer) for body, answer in zip(plan, answers, strict=True)]
    wrong = {
        f"{body.name}: {said}"
        for body, said in zip(plan, verdicts, strict=True)
        if said not in ("right", "killed")
    }
    times = sorted(
        answer["seconds"]
        for body, answer in zip(plan, answers, strict=True)
        if body.group == GOOD and "label" in answer
    )
    killed = verdicts.count("killed")
    return {
        "requests": len(plan),
        "right": verdicts.count("right"),
        "killed_workers": watched.killed,
        "files_lost_to_killed_workers": killed,
        "wrong": sorted(wrong),
        "groups": dict(Counter(body.group for body in plan)),
        "seconds": round(seconds, 1),
        "requests_per_second": round(len(plan) / seconds, 2),
        "latency_seconds": {
            f"p{share}": round(times[min(len(times) * share // 100, len(times) - 1)], 4)
            for share in (50, 90, 99)
            if times
        },
        "resident_bytes": {
            "most_of_model": max(watched.resident, default=0),
            "most_of_workers": max(watched.workers_resident, default=0),
        },
        "met": not wrong and killed <= watched.killed,
    }


def lines(result: Mapping[str, Any]) -> list[str]:
    """The result for people."""
    latency = ", ".join(
        f"{name} {value:.3f} s" for name, value in result["latency_seconds"].items()
    )
    return [
        f"{result['right']} of {result['requests']} answers are right",
        f"{result['killed_workers']} workers were killed; "
        f"{result['files_lost_to_killed_workers']} files were lost to that",
        *(f"wrong: {one}" for one in result["wrong"][:20]),
        f"good files: {latency}; {result['requests_per_second']} requests a second",
        f"{result['requests']} videos in {result['executions']} batches",
        "all is right" if result["met"] else "NOT all is right",
    ]


if __name__ == "__main__":
    run_and_exit(main)
