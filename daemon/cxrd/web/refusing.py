"""One way to say no: a page for a person, a problem document (RFC 9457) for a program."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxrd.errors import CxrdError
from cxrd.web.rendering import render

API = "/api/"


def refusal(request: Request, error: Exception) -> Response:
    """Answer a request that cannot be answered as asked: HTTPException says how, a store that is away is 503."""
    if isinstance(error, HTTPException):
        headers, status, detail = dict(error.headers or {}), error.status_code, error.detail
    elif isinstance(error, RequestValidationError):
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        headers, status, detail = {}, 422, "; ".join(faults)
    else:
        headers, status, detail = {"Retry-After": "5"}, 503, str(error) if isinstance(error, CxrdError) else ""
    title = HTTPStatus(status).phrase
    if request.scope["path"].startswith(API):
        return problem(status, code=title.lower().replace(" ", "_"), detail=detail, headers=headers)
    page = render(request, "error.html", status_code=status, title=title, detail=detail)
    page.headers.update(headers)
    return page


def problem(status: int, *, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """Make a problem document; ``code`` is a bounded word that programs can rely on."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return JSONResponse(told | more, status, headers, media_type="application/problem+json")
