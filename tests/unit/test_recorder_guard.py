from __future__ import annotations

import pytest

from recorder.errors import ProtokolError
from recorder.guard import DefectError, Guard
from recorder.logging import get_logger

S = 1_000_000


class Rig:
    def __init__(self):
        self.failures = []
        self.now_us = 0
        self.guard = Guard(self.failures.append, get_logger(), lambda: self.now_us)


def fail(error):
    raise error


def test_what_failed_is_told_and_the_rest_goes_on():
    rig, done = Rig(), []
    items = iter([1, 2, "bad", 3, ProtokolError("worse"), 4])

    def work():
        for item in items:
            if isinstance(item, ProtokolError):
                raise item
            done.append(item + 0)

    while not rig.guard(work):
        pass
    assert done == [1, 2, 3, 4]
    assert [type(each) for each in rig.failures] == [DefectError, ProtokolError]
    assert "TypeError" in str(rig.failures[0])


def test_a_defect_is_logged_with_its_traceback(capsys):
    assert not Rig().guard(lambda: fail(KeyError("x")))
    out = capsys.readouterr()
    assert "Traceback" in out.out + out.err


def test_a_defect_again_and_again_is_raised():
    rig = Rig()
    for second in range(0, 100, 20):
        rig.now_us = second * S
        assert not rig.guard(lambda: fail(KeyError()))
    for _ in range(100):
        assert not rig.guard(lambda: fail(ProtokolError("no defect")))
    rig.now_us = 85 * S
    assert not rig.guard(lambda: fail(KeyError()))
    # The fifth since 40 s.
    with pytest.raises(KeyError):
        rig.guard(lambda: fail(KeyError()))
