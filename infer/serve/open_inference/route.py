"""The Open Inference Protocol (version 2), which clients of KServe and Triton speak: below /v2."""

# No `from __future__ import annotations`: see app.py.

import asyncio
import re
from typing import Any

import numpy as np

from ...pipeline.rank import calibrated_scores
from ...runtimes.base import Clips, Logits
from ..refusal import FAILED, Refused
from ..service import Service, all_of
from ..uploads import Upload
from .request import InferRequest, clips_of, read_request, videos_of, wrong
from .response import VERSION, Tensor, infer_response

VIDEO, SCORES, LABEL = "video", "scores", "label"
"""Names of tensors beside those of the bundle's network."""


def add_inference(app: Any, service: Service) -> None:
    """Add the routes."""
    from fastapi import Request, Response
    from fastapi.responses import JSONResponse

    from ... import __version__

    name = served_name(service)
    parsing = asyncio.Lock()

    def check(model: str, version: str) -> None:
        if model != name:
            raise Refused(404, "request", f"there is no model {model[:80]!r}; there is: {name}")
        if version != VERSION:
            raise Refused(404, "request", f"{name} has only version {VERSION}")

    @app.get("/v2", summary="What the server is")
    async def server() -> dict[str, Any]:
        extensions = ["binary_tensor_data", "classification"]
        return {"name": "clipduet", "version": __version__, "extensions": extensions}

    @app.get("/v2/health/live", summary="Whether the process runs")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready", summary="Whether requests are taken in")
    async def ready() -> Response:
        return JSONResponse({"ready": not service.stopping}, 503 if service.stopping else 200)

    @app.get("/v2/models/{model}", summary="Inputs and outputs")
    @app.get("/v2/models/{model}/versions/{version}", include_in_schema=False)
    async def metadata(model: str, version: str = VERSION) -> dict[str, Any]:
        check(model, version)
        return model_metadata(service)

    @app.get("/v2/models/{model}/ready", summary="Whether requests are taken in")
    @app.get("/v2/models/{model}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(model: str, version: str = VERSION) -> Response:
        check(model, version)
        return await ready()

    @app.post("/v2/models/{model}/infer", summary="Run the network on clips or videos")
    @app.post("/v2/models/{model}/versions/{version}/infer", include_in_schema=False)
    async def infer(request: Request, model: str, version: str = VERSION) -> Response:
        check(model, version)
        length = request.headers.get("inference-header-content-length")
        async with service.received(request, form=False) as files:
            # One at a time, and dropped at once: JSON takes many times its bytes in memory.
            async with parsing:
                asked = await asyncio.to_thread(read_request, files[0].path, length)
                given = await asyncio.to_thread(_given, asked, service, files)
                asked = asked.without_data()
            tensors = await _tensors(given, service)
        body, about = await asyncio.to_thread(
            infer_response, asked, name, tensors, service.model.classes
        )
        return Response(body, headers=about)


def served_name(service: Service) -> str:
    """The model's name as it stands in addresses."""
    return re.sub(r"[^\w.-]+", "_", service.model.name, flags=re.ASCII)


def model_metadata(service: Service) -> dict[str, Any]:
    """Names, types and shapes of the tensors; a request has one of the inputs."""
    bundle, model = service.model.bundle, service.model
    clips = [-1, *model.clip_shape]
    scores = [-1, len(model.classes)]
    return {
        "name": served_name(service),
        "versions": [VERSION],
        "platform": f"clipduet_{model.backend}_{model.precision}",
        "inputs": [
            {"name": bundle.input_name, "datatype": "UINT8", "shape": clips},
            {"name": VIDEO, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": bundle.output_name, "datatype": "FP32", "shape": scores},
            {"name": SCORES, "datatype": "FP32", "shape": scores},
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
        ],
    }


def _given(asked: InferRequest, service: Service, files: list[Upload]) -> Clips | list[Upload]:
    """The clips or videos of a request; files that are written are added to `files`."""
    bundle, model = service.model.bundle, service.model
    name, datatype = asked.input.name, asked.input.datatype
    if (name, datatype) == (bundle.input_name, "UINT8"):
        return clips_of(asked, model.clip_shape)
    if (name, datatype) == (VIDEO, "BYTES"):
        videos: list[Upload] = []
        try:
            videos_of(asked, service.folder, service.limits.body.files, videos)
        finally:
            files += videos
        return videos
    there = f"{bundle.input_name} (UINT8), {VIDEO} (BYTES)"
    raise wrong(f"there is no input {name!r} ({datatype!r}); there are: {there}")


async def _tensors(given: Clips | list[Upload], service: Service) -> dict[str, Tensor]:
    """All outputs."""
    bundle, model = service.model.bundle, service.model
    if isinstance(given, list):
        each = await _logits_of_videos(service, given)
        logits = np.concatenate(each)
    else:
        logits = await service.logits(given)
        each = [row[None] for row in logits]
    if not np.isfinite(logits).all():
        raise Refused(500, "network", FAILED)
    scores = np.stack([calibrated_scores(one, model.temperature) for one in each])
    labels = [model.classes[int(best)] for best in scores.argmax(axis=1)]
    # The network's own tensor comes first; should it be called like one of the others, it is it.
    own: dict[str, Tensor] = {bundle.output_name: logits}
    return {**own, SCORES: scores.astype(np.float32), LABEL: labels, **own}


async def _logits_of_videos(service: Service, videos: list[Upload]) -> list[Logits]:
    async def logits(video: Upload) -> Logits:
        try:
            return await service.logits_of_video(video)
        except Refused as error:
            if len(videos) == 1:
                raise
            reason = f"{video.name}: {error.reason}"
            raise Refused(error.status, error.kind, reason, error.headers) from None

    return await all_of([logits(video) for video in videos])
