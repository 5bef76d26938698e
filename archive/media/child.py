"""The decoding program: `python -m archive.media.child`. A question on its input, an answer on its output.

Nobody imports it: it is started by archive.media.process, with an environment of its own.
"""

from __future__ import annotations

import os

_PIECE_BYTES = 1 << 20


def _read_all() -> bytes:
    pieces = []
    while piece := os.read(0, _PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def _write_all(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def main() -> None:
    """Ends the process: 0 when anything was answered, a failure included."""
    from archive.media import confinement, work  # noqa: PLC0415 (so that what they raise is told, too)

    try:
        confinement.limit()
        from archive.media import decoding  # noqa: PLC0415

        confinement.close()
        # The first hostile byte is read here, inside the cage.
        answer = work.encode_answer(decoding.answer(work.decode_question(_read_all())))
    except BaseException as error:  # noqa: BLE001 (whatever it is, the server should know)
        answer = work.encode_failure(f"{type(error).__name__}: {error}")
    _write_all(answer)
    # No clean-up: it would want calls that are refused here.
    os._exit(0)


if __name__ == "__main__":
    main()
