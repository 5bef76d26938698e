"""`python -m recorder.capture.onvif_child`: a Question on stdin, an Answer on stdout, then gone.

A process of its own, because what speaks ONVIF weighs half an agent and is needed for a moment, and
because one that hangs can be ended. Passwords come by stdin: arguments and environment can be read.
"""

from __future__ import annotations

import signal
import sys

from recorder.capture.onvif_device import Answer, OnvifError, Question, choose_profile

# Nobody waits so long: whoever asked is gone.
_GIVE_UP_S = 60


def answer(question: Question) -> Answer:
    """What is known when something fails is told with it."""
    from recorder.capture.onvif import Camera  # noqa: PLC0415 heavy

    device = None
    try:
        with Camera(question.host, question.user, question.password) as camera:
            device = camera.describe()
            if not question.record:
                return Answer(device=device)
            choice = choose_profile(device)
            return Answer(device=device, choice=choice, gop=camera.shorten_gop(choice))
    except OnvifError as error:
        return Answer(device=device, failure=error.failure, message=str(error))


def main() -> None:
    signal.alarm(_GIVE_UP_S)
    sys.stdout.write(answer(Question.model_validate_json(sys.stdin.read())).model_dump_json())


if __name__ == "__main__":
    main()
