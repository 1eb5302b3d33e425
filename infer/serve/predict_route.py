"""`POST /predict`: one video as the body, or several as a form."""

# No `from __future__ import annotations`: see app.py.

from dataclasses import replace
from typing import Annotated, Any

from ..command.output import record
from .refusal import STATUS, Refused
from .service import Answer, Service, all_of

OPTIONS = ("top_k", "threshold", "frames")
_VIDEO = {"schema": {"type": "string", "format": "binary"}}
BODY = {
    "requestBody": {
        "required": True,
        "description": "A video file, or a form with files; their names are only given back.",
        "content": {
            "application/octet-stream": _VIDEO,
            "video/*": _VIDEO,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"video": {"type": "array", "items": _VIDEO["schema"]}},
                }
            },
        },
    }
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "kind": {"type": "string"}},
    "required": ["error", "kind"],
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "video": {"type": "string", "description": "the name that the client gave"},
        "label": {"type": ["string", "null"], "description": "null: no class reaches threshold"},
        "index": {"type": ["integer", "null"]},
        "score": {"type": ["number", "null"], "description": "probability, 0 to 1"},
        "topk": {"type": "array", "items": {"type": "object"}},
        "seconds": {"type": "number", "description": "of reading, preprocessing and network"},
        "warning": {"type": "string", "description": "what was lost, such as a damaged part"},
        "frames": {"type": "array", "items": {"type": "object"}},
        "error": {"type": "string", "description": "instead of all others"},
        "kind": {"type": "string", "description": "of the error"},
    },
    "required": ["video"],
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "results": {"type": "array", "items": _RESULT},
        **_ERROR["properties"],
    },
    "required": ["model", "results"],
}


def _responses() -> dict[int, dict[str, Any]]:
    about = {
        400: "a form that makes no sense",
        401: "a token is needed",
        408: "the body arrives too slowly",
        413: "too many bytes or files",
        415: "the body is compressed",
        429: "too many requests are open; Retry-After says when to try again",
        500: "the service fails",
        503: "it waited too long, or the service is being stopped",
    }
    found = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in about.items()
    }
    answer = {"application/json": {"schema": _ANSWER}}
    found[200] = {"description": "a result for each file, in order", "content": answer}
    found[422] = {"description": "no file gives an answer, or a wrong option", "content": answer}
    return found


def add_predict(app: Any, service: Service) -> None:
    """Add the route."""
    from fastapi import Query, Request, Response
    from fastapi.responses import JSONResponse

    top_ks = Query(ge=1, le=len(service.model.classes), description="classes in each answer")
    thresholds = Query(ge=0, le=1, description="the least score of a class in the answers")
    pictures = Query(description="whether the frames that the network saw are given, as JPEG")

    @app.post(
        "/predict",
        summary="Classify video files",
        openapi_extra=BODY,
        responses=_responses(),
        response_class=JSONResponse,
    )
    async def predict(
        request: Request,
        top_k: Annotated[int, top_ks] = min(5, len(service.model.classes)),
        threshold: Annotated[float, thresholds] = service.threshold,
        frames: Annotated[bool, pictures] = False,
    ) -> Response:
        _check_options(request.query_params)
        async with service.received(request) as files:
            work = [service.answer(file, k=top_k, pictures=frames) for file in files]
            answers = await all_of(work)
        results = [_result(one, threshold) for one in answers]
        content: dict[str, Any] = {"model": service.model.name, "results": results}
        failures = [answer.failure for answer in answers]
        if not all(failures):
            return JSONResponse(content)
        first = {name: results[0][name] for name in ("error", "kind")}
        return JSONResponse({**first, **content}, STATUS.get(failures[0], 422))


def _check_options(given: Any) -> None:
    """Raises Refused for names that are no options: a slip would change the answer silently."""
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown:
        name = unknown[0][:40]
        raise Refused(422, "options", f"{name!r} is no option; there are: {', '.join(OPTIONS)}")
    twice = [name for name in OPTIONS if len(given.getlist(name)) > 1]
    if twice:
        raise Refused(422, "options", f"{twice[0]} is given more than once")


def _result(answer: Answer, threshold: float) -> dict[str, Any]:
    prediction = answer.prediction
    name = answer.name  # to the letter: a path would lose its double slashes
    if answer.failure:
        return {"video": name, "error": prediction.error, "kind": answer.failure}
    result = dict(record(name, prediction, None))
    kept = tuple(one for one in prediction.topk if one.score >= threshold)
    if len(kept) < len(prediction.topk):
        if kept:
            result |= record(name, replace(prediction, topk=kept), None)
        else:
            result |= {"label": None, "index": None, "score": None, "topk": []}
    if answer.pictures is not None:
        result["frames"] = answer.pictures
    return result
