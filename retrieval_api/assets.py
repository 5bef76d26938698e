"""Style sheets, scripts and the few front-end files that others wrote, served from this host alone."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from retrieval_api.pages import HERE

STATIC = HERE / "static"
# File under /static/vendor → where npm puts it. An installed tree has copies in static/vendor.
VENDOR = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    # The light build: without subtitles, alternative sound and content protection, which no day has.
    "hls.min.js": "hls.js/dist/hls.light.min.js",
}
_MAX_AGE_SECONDS = 3600


def vendor_file(name: str) -> Path | None:
    """The front-end file, from the installed tree or from node_modules beside the checkout."""
    for path in (STATIC / "vendor" / name, HERE.parent / "node_modules" / VENDOR.get(name, name)):
        if path.is_file():
            return path
    return None


class _Assets(StaticFiles):
    """Static files with a short life in the browser's cache and an ETag after it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        folder, _, name = path.rpartition("/")
        vendor = vendor_file(name) if folder == "vendor" and name in VENDOR else None
        if vendor is not None:
            response: Response = self.file_response(vendor, vendor.stat(), scope)
        else:
            response = await super().get_response(path, scope)
        if response.status_code < 400:
            response.headers["Cache-Control"] = f"public, max-age={_MAX_AGE_SECONDS}"
        return response


def mount(app: FastAPI) -> None:
    app.mount("/static", _Assets(directory=STATIC), name="static")
