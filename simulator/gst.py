"""GStreamer's Python bindings, importable inside the virtual environment.

`gi` comes with the distribution (python3-gi): it is compiled against the distribution's GLib and is
not on the package index in a form that would match. A virtual environment hides it. So the
distribution's folder is *appended* to the path: everything that the environment has of its own still
wins, and only what it lacks (`gi`) is found there.

Nothing is imported at module level by the rest of the package but through here, so that a host without
GStreamer gets one clear sentence.
"""

from __future__ import annotations

import sys
from typing import Any

from recorder.errors import ProtokolError

_DISTRIBUTION_PACKAGES = "/usr/lib/python3/dist-packages"


class GStreamerMissingError(ProtokolError):
    """GStreamer or its RTSP server is not installed on this host."""


def _load() -> tuple[Any, Any, Any, Any]:
    if _DISTRIBUTION_PACKAGES not in sys.path:
        sys.path.append(_DISTRIBUTION_PACKAGES)
    try:
        import gi  # noqa: PLC0415 -- importable only after the line above

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: PLC0415 -- as above
    except (ImportError, ValueError) as error:
        raise GStreamerMissingError(
            f"the simulator needs GStreamer's RTSP server ({error}); install python3-gi, "
            "gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-{base,good} (`make setup` does), "
            "and run the distribution's python3.11"
        ) from error
    Gst.init(None)
    return GLib, Gst, GstApp, GstRtspServer


GLib, Gst, GstApp, GstRtspServer = _load()
