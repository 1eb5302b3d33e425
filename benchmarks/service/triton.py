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
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import add_out, carry_out_and_judge, measuring, named_videos
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.processes import children, command_line
from benchmarks.common.result_file import header
from benchmarks.service import load
from benchmarks.service.bodies import GOOD, HOSTILE, KILLED, RIGHT, Body, hostile_bodies
from benchmarks.service.process import Watched
from benchmarks.service.right_answers import known_bodies
from benchmarks.service.triton_server import (
    STUB,
    TritonServer,
    http_response,
    installed,
    triton_server,
)
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.log import logger

log = logger("benchmarks.service.triton")

NEAR = 1e-5
"""Of a score: the server's environment has other versions of NumPy and OpenCV."""
CLIENT = Path(__file__).with_name("triton_client.py")


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 all is right, 1 an answer is missing or wrong, 2 wrong use."""
    options = _parser().parse_args(arguments)
    return carry_out_and_judge(run, lines, options, allowed=load.NUMBERS)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.service.triton",
        description="Ask a Triton server for video files from many clients at once.",
    )
    load.add_load(parser, requests=2000, clients=16, kill_every=10.0)
    add_out(parser, "reports/service/triton.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask, and count; JSON-ready."""
    from export.triton.__main__ import write_repository
    from infer.bundle.bundle import Bundle

    installed()
    paths = named_videos(options)
    log.info(f"predict answers {len(paths)} videos and their broken copies")
    # Of the hostile requests of HTTP, those that are a file.
    hostile = [
        body
        for body in hostile_bodies()
        if body.group == HOSTILE and body.content and not body.headers
    ]
    plan = load.planned(options, [*known_bodies(options.bundle, paths), *hostile])
    with tempfile.TemporaryDirectory(prefix="clipduet-triton-") as name:
        folder = Path(name)
        write_repository(Bundle.load(options.bundle), folder / "repository", precisions=["fp32"])
        (model,) = (folder / "repository" / "videos").iterdir()
        with triton_server([model.parent], folder) as server:
            log.info(f"{options.requests} requests from {options.clients} clients")
            watched = Watched(server.http, model_process(server))
            with watched.watching(kill_every=options.kill_every, seed=options.seed):
                start = time.perf_counter()
                answers = ask(server, model.name, plan, clients=options.clients, folder=folder)
                seconds = time.perf_counter() - start
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


def model_process(server: TritonServer) -> int:
    """The process of the server's one model.

    Raises:
        BenchmarkError: it has none, or several.
    """
    stubs = [one for one in children(server.process) if STUB in " ".join(command_line(one))]
    if len(stubs) != 1:
        raise BenchmarkError(f"the server has {len(stubs)} models, not 1")
    return stubs[0]


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
    with http_response(server, f"models/{model}/stats", timeout=60) as answer:
        (one,) = json.load(answer)["model_stats"]
    batches = {str(batch["batch_size"]): batch["compute_infer"]["count"] for batch in
               one["batch_stats"]}  # fmt: skip
    return {"executions": one["execution_count"], "batches": batches}


def verdict(body: Body, answer: Mapping[str, Any]) -> str:
    """RIGHT; KILLED: its file's process was killed; else what is wrong with an answer."""
    if not answer:
        return "no answer"
    error = answer.get("error")
    if error is not None and "SIGKILL" in error:
        return KILLED
    wanted: Mapping[str, Any] = body.result if body.result is not None else {"error": ""}
    if (error is None) != ("label" in wanted):
        return f"{error or 'an answer'}, where predict says {wanted.get('error') or 'a label'}"
    if error is not None:
        return RIGHT
    (label,), (scores,) = answer["label"], answer["scores"]
    far = max(abs(scores[one["index"]] - one["score"]) for one in wanted["topk"])
    if far > NEAR or label != wanted["label"]:
        return f"{label}, {far:.1e} from the scores of predict, which says {wanted['label']}"
    return RIGHT


def summary(
    plan: Sequence[Body], answers: Sequence[Mapping[str, Any]], watched: Watched, seconds: float
) -> dict[str, Any]:
    """What came of the requests."""
    verdicts = [verdict(body, answer) for body, answer in zip(plan, answers, strict=True)]
    times = [
        answer["seconds"]
        for body, answer in zip(plan, answers, strict=True)
        if body.group == GOOD and "label" in answer
    ]
    found = load.outcome(plan, verdicts, times, seconds=seconds)
    lost = verdicts.count(KILLED)
    return {
        **found,
        "killed_workers": watched.killed,
        "files_lost_to_killed_workers": lost,
        "resident_bytes": {
            "most_of_model": max(watched.resident, default=0),
            "most_of_workers": max(watched.workers_resident, default=0),
        },
        "met": not found["wrong"] and lost <= watched.killed,
    }


def lines(result: Mapping[str, Any]) -> list[str]:
    """The result for people."""
    return [
        f"{result['right']} of {result['requests']} answers are right",
        f"{result['killed_workers']} workers were killed; "
        f"{result['files_lost_to_killed_workers']} files were lost to that",
        *load.outcome_lines(result),
        f"{result['requests']} videos in {result['executions']} batches",
    ]


if __name__ == "__main__":
    run_and_exit(main)
