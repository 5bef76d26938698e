"""`python -m tests.fuzz.mp4_reader --seconds 60 [--target segment]`: libFuzzer against a reader.

Ends with 0 when no input crashed it, took ten seconds or more memory than is allowed; else with 1, and
the input stands in the directory that is named. The seeds are made by the code itself.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.fuzz.measuring import MAX_PEAK_BYTES, peak_of

_HANG_S = 10
# The interpreter with numpy and the instrumented code weighs 86 MB, and the corpus grows with the hours.
_RSS_LIMIT_MB = 150 + MAX_PEAK_BYTES // 10**6
# Names of boxes and handlers, four letters each.
_WORDS = (
    b"moovmvhdtrakmdiamdhdhdlrminfstblstsdedtselstmvextrextkhd"
    b"mooftraftfhdtfdttrunmdatuuidavc1mp4aesdsavcChvc1videsoun"
)


def seeds(target: str) -> list[bytes]:
    """Honest inputs of the target."""
    from tests.fuzz.hostile import Attacker, Honest  # noqa: PLC0415 (must be imported instrumented)
    from tests.fuzz.samples import MANIFESTS  # noqa: PLC0415
    from tests.mp4_synthetic import minute_index  # noqa: PLC0415

    if target == "segment":
        return [Attacker(Honest()).file()]
    if target == "index":
        return [minute_index().to_bytes()]
    return [*MANIFESTS, *(signed[:-2] for signed in MANIFESTS)]


def fuzz(target: str, seconds: int, directory: Path) -> int:
    """In a child process, because libFuzzer ends the one it runs in."""
    corpus = directory / "corpus"
    corpus.mkdir()
    words = (_WORDS[at : at + 4].decode() for at in range(0, len(_WORDS), 4))
    (directory / "words").write_text("".join(f'"{word}"\n' for word in words), "ascii")
    command = [sys.executable, "-m", "tests.fuzz.mp4_reader", "--target", target, "--child", str(corpus)]
    flags = [
        f"-max_total_time={seconds}",
        f"-timeout={_HANG_S}",
        f"-rss_limit_mb={_RSS_LIMIT_MB}",
        f"-malloc_limit_mb={MAX_PEAK_BYTES // 10**6}",
        f"-artifact_prefix={directory}/",
        f"-dict={directory / 'words'}",
        "-max_len=20000",
        "-print_final_stats=1",
    ]
    return subprocess.run([*command, *flags], check=False).returncode


def child(target: str, corpus: Path, flags: list[str]) -> None:
    """Never returns."""
    import atheris  # noqa: PLC0415 (loads libFuzzer, which the parent need not)

    with atheris.instrument_imports(include=["archive.mp4", "recorder.manifest"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415
    for seed in seeds(target):
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    atheris.Setup([sys.argv[0], *flags, str(corpus)], TARGETS[target])
    atheris.Fuzz()


def heaviest(target: str, corpus: Path) -> int:
    """The most memory that any input of the corpus takes, in bytes."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415

    inputs = [path.read_bytes() for path in corpus.iterdir()]
    return max(peak_of(partial(TARGETS[target], data)) for data in inputs)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target", choices=["segment", "index", "manifest"], default="segment")
    parser.add_argument("--directory", type=Path, help="kept; else one that goes unless there is a defect")
    parser.add_argument("--child", type=Path)
    options, flags = parser.parse_known_args()
    if options.child:
        child(options.target, options.child, flags)
    if options.directory:
        return run(options.target, options.seconds, options.directory)
    # Stopped by whoever started it, it cleans up as at its end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="protokol-fuzz-"))
    found = 0
    try:
        found = run(options.target, options.seconds, directory)
    finally:
        if not found:
            shutil.rmtree(directory)
    return found


def run(target: str, seconds: int, directory: Path) -> int:
    """1 where something was found, whose input is then in the directory."""
    if fuzz(target, seconds, directory):
        print(f"a defect; its input is in {directory}")  # noqa: T201
        return 1
    corpus = directory / "corpus"
    peak = heaviest(target, corpus)
    print(f"{len(list(corpus.iterdir()))} inputs of the corpus, the heaviest takes {peak} bytes")  # noqa: T201
    return int(peak > MAX_PEAK_BYTES)


if __name__ == "__main__":
    sys.exit(main())
