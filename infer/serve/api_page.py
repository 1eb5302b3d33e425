"""The description of all routes (OpenAPI) as a page, without scripts and without other hosts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body class="api">
<header>
<h1>{title}</h1>
<p>{summary}. For programs: <a href="openapi.json">openapi.json</a>.
<a href="./">To the page</a>.</p>
</header>
<main>
{routes}
</main>
</body>
</html>
"""


def api_page(description: Mapping[str, Any]) -> str:
    """The page.

    Args:
        description: of OpenAPI, as FastAPI makes it.
    """
    info = description["info"]
    routes = "\n".join(
        line
        for path, methods in description["paths"].items()
        for method, route in methods.items()
        for line in _route(path, method, route)
    )
    title = f"{info['title']} {info['version']}"
    return _PAGE.format(
        title=html.escape(title), summary=html.escape(info.get("summary", "")), routes=routes
    )


def _route(path: str, method: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield "<article>"
    yield f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
    yield f'<p class="about">{html.escape(route.get("summary", ""))}</p>'
    given = [
        (one["name"], _allowed(one), one.get("description", ""))
        for one in route.get("parameters", ())
    ]
    yield from _table("Options", given)
    body = route.get("requestBody", {})
    text = body.get("description", "")
    yield from _table("Body", [(kind, "", text) for kind in body.get("content", ())])
    # Without their schemas: FastAPI writes that of its own errors, which the service does not send.
    answers = [(code, "", one["description"]) for code, one in sorted(route["responses"].items())]
    yield from _table("Answers", answers)
    yield "</article>"


def _allowed(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    limits = [str(schema[name]) for name in ("minimum", "maximum") if name in schema]
    found = [str(schema.get("type", "")), " to ".join(limits)]
    if "default" in schema:
        found.append(f"default {str(schema['default']).lower()}")
    return ", ".join(part for part in found if part)


def _table(name: str, rows: list[tuple[str, str, str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<table><caption>{name}</caption><tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in others if text)
        yield f'<tr><th scope="row"><code>{html.escape(first)}</code></th>{cells}</tr>'
    yield "</tbody></table>"
