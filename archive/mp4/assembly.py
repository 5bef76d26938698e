"""Samples and their times → the head of the file and the layout of its media bytes."""

from __future__ import annotations

import numpy as np

from archive.mp4 import head
from archive.mp4.head import TrackTables
from archive.mp4.index import TrackIndex
from archive.mp4.layout import Chunks, Layout, arrange, stored_chunks, with_silence
from archive.mp4.selection import Samples
from archive.mp4.timeline import PictureTimes, SoundFormat, Timeline, pad_sound, time_pictures


class Assembly:
    """The tracks of one clip, added in any order but pictures first: they say how long silence lasts."""

    def __init__(self, axis: Timeline) -> None:
        self._axis = axis
        self._tables: list[TrackTables] = []
        self._chunks: list[Chunks] = []

    def add(
        self,
        pictures: tuple[TrackIndex, Samples] | None,
        sound: tuple[TrackIndex, Samples, SoundFormat] | None,
    ) -> None:
        axis = self._axis
        if pictures is not None:
            track, samples = pictures
            rate = axis.scale // track.timescale
            times = time_pictures(axis, samples, track.timescale)
            if sound is not None:
                pad_sound(axis, sound[2], times.end * rate)
                # The last picture stays as long as there is sound.
                sound_end = -(-axis.end_ticks * (axis.scale // sound[2].timescale) // rate)
                times = PictureTimes(times.decode, times.present, max(times.end, sound_end))
            self._add_pictures(track, samples, times)
        if sound is not None:
            self._add_sound(*sound)

    def finish(self, *, bridge: bool, start_s: int) -> tuple[bytes, Layout]:
        """The head and the layout; `bridge` as in `layout.arrange`, `start_s` as in `head.build`."""
        arranged = arrange(self._chunks, bridge=bridge)
        return head.build(self._tables, arranged.at, arranged.length, start_s), arranged

    def _add_pictures(self, track: TrackIndex, samples: Samples, times: PictureTimes) -> None:
        chunks = stored_chunks(samples, times.decode * (self._axis.scale // track.timescale))
        duration = np.diff(np.append(times.decode, times.end))
        cts = times.present - times.decode
        self._chunks.append(chunks)
        self._tables.append(TrackTables(track, duration, cts, samples.sync, samples.size, chunks.samples))

    def _add_sound(self, track: TrackIndex, samples: Samples, form: SoundFormat) -> None:
        axis = self._axis
        broken_at = [silence.before for silence in axis.silences]
        rate = axis.scale // form.timescale
        stored = stored_chunks(samples, axis.sound_ticks * rate, broken_at)
        chunks = with_silence(stored, axis.silences, form, axis.scale)
        duration = np.full(len(samples), form.frame_ticks, np.int64)
        for number, extra in axis.stretched.items():
            duration[number] += extra
        size = samples.size
        if form.silence is not None and axis.silences:
            where = np.repeat(broken_at, [silence.count for silence in axis.silences])
            size = np.insert(size, where, len(form.silence))
            duration = np.insert(duration, where, form.frame_ticks)
        self._chunks.append(chunks)
        self._tables.append(TrackTables(track, duration, None, None, size, chunks.samples))
