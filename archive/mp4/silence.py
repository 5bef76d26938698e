"""A silent AAC-LC frame, written bit by bit: no encoder is needed to say nothing.

With `max_sfb` 0 a frame has no spectrum, so neither the sampling rate nor the frame length shows in
it: one frame per channel count serves all.
"""

from __future__ import annotations

from archive.mp4.codec import AacLc

# ISO/IEC 14496-3, 4.4.2: fields of one channel without spectrum.
_GAIN = "10001100"  # global_gain 140, what FFmpeg's encoder writes for silence
_ICS_INFO = "00010000000"  # reserved, long window, KBD shape, max_sfb 0, no predictor
_TOOLS = "000"  # no pulse data, no noise shaping, no gain control
_END = "111"
_SINGLE = "0000000" + _GAIN + _ICS_INFO + _TOOLS + _END
# common_window 1, ms_mask_present 0, then the two channels
_PAIR = "00100001" + _ICS_INFO + "00" + 2 * (_GAIN + _TOOLS) + _END
_FRAMES = {1: _SINGLE, 2: _PAIR}


def silent_frame(sound: AacLc) -> bytes:
    """One frame of silence for that sound; its neighbours fade into it as their windows say."""
    bits = _FRAMES[sound.channels]
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
