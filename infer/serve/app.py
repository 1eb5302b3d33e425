"""The application: all routes around one service."""

# No `from __future__ import annotations`: FastAPI reads annotations of names that are imported here
# only when they are needed.

from pathlib import Path
from typing import Any

from ..system.errors import os_reason
from ..system.log import logger
from .api_page import api_page
from .guard import Guard
from .open_inference.route import add_inference
from .predict_route import add_predict
from .refusal import FAILED, ClientGone, Refused, of_system
from .service import Service
from .tokens import Tokens

log = logger(__name__)

PAGE = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def application(service: Service, tokens: Tokens | None = None) -> Guard:
    """The ASGI application of a service.

    Args:
        service: that answers.
        tokens: that clients need; None: none.
    """
    from fastapi import FastAPI

    from .. import __version__

    app = FastAPI(
        title="ClipDuet",
        summary=f"Classifies video files with {service.model.name}",
        version=__version__,
        docs_url=None,  # FastAPI's pages load scripts of other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_errors(app, service)
    _add_health(app, service)
    _add_page(app)
    add_predict(app, service)
    add_inference(app, service)
    return Guard(app, service.metrics, tokens)


def _add_errors(app: Any, service: Service) -> None:
    from fastapi import Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def refused(request: Request, error: Refused) -> Response:
        service.metrics.refused(error.kind)
        return JSONResponse(error.body(), error.status, error.headers)

    @app.exception_handler(Refused)
    async def on_refused(request: Request, error: Refused) -> Response:
        return refused(request, error)

    @app.exception_handler(RequestValidationError)
    async def on_wrong_options(request: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return refused(request, Refused(422, "options", "; ".join(wrong)))

    @app.exception_handler(HTTPException)
    async def on_no_route(request: Request, error: HTTPException) -> Response:
        allowed = (error.headers or {}).get("Allow", "other methods")
        what = {
            404: "there is nothing here; /docs lists the addresses",
            405: f"{request.method} is not allowed here; allowed: {allowed}",
        }
        reason = what.get(error.status_code, str(error.detail))
        return refused(request, Refused(error.status_code, "request", reason, error.headers))

    @app.exception_handler(ClientGone)
    async def on_client_gone(request: Request, error: ClientGone) -> Response:
        service.metrics.refused("gone")
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(OSError)
    async def on_system(request: Request, error: OSError) -> Response:
        log.error(os_reason(error))
        return refused(request, of_system(error))

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        return refused(request, Refused(500, "service", FAILED))


def _add_health(app: Any, service: Service) -> None:
    from fastapi import Response
    from fastapi.responses import JSONResponse

    @app.get("/health/live", summary="Whether the process runs")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", summary="Whether requests are taken in")
    async def ready() -> Response:
        if service.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", summary="Counters, for Prometheus")
    async def metrics() -> Response:
        page, kind = service.metrics.page()
        return Response(page, headers={"Content-Type": kind})


def _add_page(app: Any) -> None:
    for name in ("index.html", "page.css", "page.js"):
        file = PAGE / name
        path = "/" if name == "index.html" else f"/{name}"
        app.router.add_route(path, _content(file.read_bytes(), TYPES[file.suffix]))

    async def docs(request: Any) -> Any:
        return await _content(api_page(app.openapi()).encode(), TYPES[".html"])(request)

    app.router.add_route("/docs", docs)


def _content(content: bytes, kind: str) -> Any:
    from fastapi import Response

    async def route(request: Any) -> Response:
        return Response(content, media_type=kind)

    return route
