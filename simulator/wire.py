"""Faults on the wire: sender reports of a wrong clock, lost packets.

Both are made by probes on the pads of the server's pipeline. A probe may not write into a buffer that
others hold, so a changed packet is a new buffer, handed to the next element in place of the old one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulator.gst import Gst
from simulator.rtcp import shift_sender_reports


def set_clock(media: Any, offset_s: Callable[[], float]) -> None:
    """From now on, sender reports of a prepared media tell the true time plus `offset_s()`."""

    def on_report(pad: Any, info: Any) -> Any:
        offset = offset_s()
        buffer = info.get_buffer()
        if not offset or buffer is None:
            return Gst.PadProbeReturn.OK
        shifted = Gst.Buffer.new_wrapped(
            shift_sender_reports(buffer.extract_dup(0, buffer.get_size()), offset)
        )
        shifted.pts, shifted.dts = buffer.pts, buffer.dts
        pad.get_peer().chain(shifted)
        return Gst.PadProbeReturn.DROP

    for element in _elements(_top(media.get_element())):
        for pad in element.pads if element.get_factory().get_name() == "rtpbin" else ():
            if pad.get_name().startswith("send_rtcp_src"):
                pad.add_probe(Gst.PadProbeType.BUFFER, on_report)


def lose_packets(payloader: Any, fraction: Callable[[], float]) -> None:
    """From now on, drop that part of the payloader's packets; ends by itself when `fraction()` is 0."""

    def on_packets(pad: Any, info: Any) -> Any:
        part = fraction()
        if not part:
            return Gst.PadProbeReturn.REMOVE
        packets = info.get_buffer_list() if info.type & Gst.PadProbeType.BUFFER_LIST else None
        if packets is None:
            return Gst.PadProbeReturn.DROP if random.random() < part else Gst.PadProbeReturn.OK
        for place in range(packets.length()):
            if random.random() >= part:
                pad.get_peer().chain(packets.get(place))
        return Gst.PadProbeReturn.DROP

    pad = payloader.get_static_pad("src")
    pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, on_packets)


def _top(element: Any) -> Any:
    while (parent := element.get_parent()) is not None:
        element = parent
    return element


def _elements(pipeline: Any) -> list[Any]:
    found: list[Any] = []
    iterator = pipeline.iterate_elements()
    while True:
        result, element = iterator.next()
        if result != Gst.IteratorResult.OK:
            return found
        found.append(element)
