"""A room's microphone without hardware: a private PulseAudio that has one source, with a clock of its own.

The whole way from the sound system to the recorder is real: PulseAudio, ALSA, PortAudio. Only the samples
are made, by `microphone_feeder`, and with them the device's clock.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder.errors import ProtokolError
from simulator.faults import CommandError
from simulator.sound import Sound

USAGE = f"unplug | plug | hang | resume | restart | {' | '.join(Sound)} | ppm N | mend"
_ALSA = "/usr/share/alsa/alsa.conf"
# 0.1 s on an idle machine.
_START_TIMEOUT_S = 20.0


class MicrophoneSimulatorError(ProtokolError):
    """The simulated microphone did not start, or does not obey."""


class SimulatedMicrophone:
    """A context manager: a sound system that dies with the thread that started it.

    `environment` makes a process see this sound system and no other; `device` is the name of the microphone
    there. It hears what a simulated camera's own microphone hears: a beep that begins at each whole second
    of true time, whatever its own clock says of seconds.
    """

    def __init__(self, device: str = "room-mic", *, ppm: float = 0.0) -> None:
        """`ppm`: how much too fast its clock is, in millionths."""
        self.device = device
        self._ppm = ppm
        self._sound = Sound.BEEPS
        self._directory = Path()
        self._daemon: subprocess.Popen[bytes] | None = None
        self._feeder: subprocess.Popen[str] | None = None
        self._module = ""
        self._hangs = False

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "PULSE_SERVER": f"unix:{self._directory}/pulse.socket",
            "PULSE_RUNTIME_PATH": f"{self._directory}/run",
            "PULSE_STATE_PATH": f"{self._directory}/state",
            "PULSE_COOKIE": f"{self._directory}/cookie",
            "ALSA_CONFIG_PATH": f"{_ALSA}:{self._directory}/asound.conf",
        }

    def start(self) -> Self:
        """Returns when the microphone can be recorded from. Raises MicrophoneSimulatorError."""
        if shutil.which("pulseaudio") is None:
            raise MicrophoneSimulatorError("no pulseaudio on this machine; run setup-system.sh")
        # Short, wherever tests keep theirs: the path of a socket has at most 107 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="protokol-mic-"))
        for name in ("run", "state"):
            (self._directory / name).mkdir(mode=0o700)
        try:
            self._feeder = subprocess.Popen(
                [sys.executable, "-m", "simulator.microphone_feeder", str(self._ppm)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._start_daemon()
        except BaseException:
            self.close()
            raise
        return self

    def command(self, *words: str) -> None:
        """`unplug`: the device is gone, also from the list; `plug`. `hang`: the sound system answers nobody;
        `resume`. `restart`: the sound system crashes and is there again. A Sound's name: it hears that.
        `ppm N`: its clock's error from now on. `mend`: all is well, except the clock.

        Returns when it is so. Raises CommandError, MicrophoneSimulatorError.
        """
        match " ".join(words).split():
            case ["unplug"]:
                self._unplug()
            case ["plug"]:
                self._plug()
            case ["hang"]:
                self._signal(signal.SIGSTOP)
                self._hangs = True
            case ["resume"]:
                self._resume()
            case ["restart"]:
                self._stop_daemon()
                self._start_daemon()
            case ["ppm", number]:
                self._tell(f"ppm {number}")
            case ["mend"]:
                self._resume()
                self._plug()
                self._tell(f"sound {Sound.BEEPS}")
            case [sound] if sound in list(Sound):
                self._tell(f"sound {sound}")
            case other:
                raise CommandError(f"not understood: {' '.join(other)[:80]!r}; say {USAGE}")

    def close(self) -> None:
        """Idempotent."""
        self._stop_daemon()
        if self._feeder is not None:
            self._feeder.kill()
            self._feeder.communicate()
            self._feeder = None
        if self._directory != Path():
            shutil.rmtree(self._directory, ignore_errors=True)

    def _start_daemon(self) -> None:
        self._fifo.unlink(missing_ok=True)  # as a killed one leaves it
        with (self._directory / "pulse.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [
                    # Not by preexec_fn: who starts this may have threads.
                    *("setpriv", "--pdeathsig", "TERM"),
                    *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
                    *("--realtime=no", "--high-priority=no"),
                    *(
                        "-L",
                        f"module-native-protocol-unix auth-anonymous=1 socket={self._directory}/pulse.socket",
                    ),
                ],
                env={**os.environ, **self.environment, "HOME": str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._hangs, self._module = False, ""
        self._plug()

    def _stop_daemon(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    @property
    def _fifo(self) -> Path:
        return self._directory / "microphone.fifo"

    def _plug(self) -> None:
        if self._module:
            return
        arguments = f"source_name={self.device} file={self._fifo} rate=48000 channels=1 format=s16le"
        self._module = self._pactl("load-module", "module-pipe-source", *arguments.split())
        self._tell(f"open {self._fifo}")
        self._configure_alsa(
            f'pcm."{self.device}" {{ type pulse device "{self.device}" '
            # Without a hint it would not be listed.
            f'hint {{ show on description "simulated" }} }}\n'
        )

    def _unplug(self) -> None:
        self._configure_alsa("# unplugged\n")
        if self._module:
            self._pactl("unload-module", self._module)
            self._module = ""

    def _configure_alsa(self, text: str) -> None:
        temporary = self._directory / "asound.new"
        temporary.write_text(text)
        temporary.rename(self._directory / "asound.conf")

    def _resume(self) -> None:
        if self._hangs:
            self._signal(signal.SIGCONT)
            self._hangs = False

    def _signal(self, number: signal.Signals) -> None:
        if self._daemon is None:
            raise MicrophoneSimulatorError("the simulated microphone is not running; call start()")
        self._daemon.send_signal(number)

    def _pactl(self, *arguments: str) -> str:
        """Its answer; a sound system that is starting is waited for."""
        if self._hangs:
            raise CommandError("the sound system hangs; say resume first")
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            done = subprocess.run(
                ["pactl", *arguments],
                env={**os.environ, **self.environment},
                capture_output=True,
                text=True,
                timeout=_START_TIMEOUT_S,
                check=False,
            )
            if done.returncode == 0:
                return done.stdout.strip()
            gone = self._daemon is None or self._daemon.poll() is not None
            if gone or time.monotonic() > deadline:
                log = (self._directory / "pulse.log").read_text("utf-8", "replace")
                raise MicrophoneSimulatorError(f"pactl: {done.stderr.strip()}; pulseaudio said: {log[-500:]}")
            time.sleep(0.02)

    def _tell(self, line: str) -> None:
        if self._feeder is None or self._feeder.stdin is None or self._feeder.stdout is None:
            raise MicrophoneSimulatorError("the simulated microphone is not running; call start()")
        self._feeder.stdin.write(line + "\n")
        self._feeder.stdin.flush()
        answer = self._feeder.stdout.readline().strip()
        if answer != "ok":
            raise CommandError(
                answer.removeprefix("error: ") or "the feeder has ended; its words stand above"
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
