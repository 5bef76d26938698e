"""The chain survives a crash between any two steps: every state of the disk is tried."""

from __future__ import annotations

import shutil
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.chain import Chain, read_manifest
from recorder.errors import ConfigurationError
from recorder.fragments import FileContent
from recorder.manifest import ClockStatement, GapManifest, SegmentManifest, Track, enrolment_of
from recorder.partfile import PartFile, SegmentHead
from recorder.recovery import recover, segment_manifest
from recorder.remains import whole_fragments
from tests.agent_media import fragmented_mp4

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ENROLMENT = enrolment_of(KEY.public_key())
MEDIA = fragmented_mp4()


def open_chain(directory, published):
    return Chain(
        directory, room="108", source="main", enrolment=ENROLMENT, key=KEY, published=published.append
    )


def head(number):
    return SegmentHead(
        segment_id=f"01a20600-0000-7000-8000-{number:012d}",
        run="01a20600-0000-7000-8000-00000000000f",
        start_us=1_000_000 * (number + 1),
        configuration_version=1,
        clock=ClockStatement(source="arrival", uncertainty_us=1000, estimated=True),
        av_offset_us=0,
        microphone="camera",
        agent_version="1",
    )


def gap(link):
    return GapManifest(
        room=link.room,
        source=link.source,
        enrolment=link.enrolment,
        sequence=link.sequence,
        previous=link.previous,
        start_us=link.sequence * 10 + 1,
        end_us=link.sequence * 10 + 9,
        configuration_version=1,
        agent_version="1",
        segment_id=f"01a20600-0000-7000-8000-{link.sequence + 500:012d}",
        tracks=["video"],
        cause="opening",
    )


def record(chain, number):
    part = PartFile.create(chain.directory, head(number))
    part.append(MEDIA)
    content = FileContent()
    content.feed(MEDIA)
    end_us = part.head.start_us + 900_000

    def state(link):
        return segment_manifest(part, content, link, end_us, recovered=False)

    chain.commit_segment(part, state, dict.fromkeys(Track, end_us))


def recover_all(chain):
    for part in recover(chain, 10**15).parts:

        def state(link, part=part):
            return segment_manifest(part.part, part.content, link, part.end_us, recovered=True)

        chain.commit_segment(part.part, state, dict.fromkeys(Track, part.end_us))


class Snapshots:
    """Copies the directory before each change of it: the states in which a crash may leave it."""

    _EVENTS = frozenset({"open", "os.rename", "os.remove", "os.truncate"})

    def __init__(self, directory, target):
        self.directory, self.target, self.taken, self.active = directory, target, [], False
        self.shipped = []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if self.active and event in self._EVENTS and str(self.directory) in str(arguments[0]):
            self.active = False
            copy = self.target / f"{len(self.taken):04d}"
            shutil.copytree(self.directory, copy)
            self.taken.append((copy, [read_manifest(entry.path) for entry in self.shipped]))
            self.active = True


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    directory = tmp_path_factory.mktemp("spool") / "main"
    taken = Snapshots(directory, tmp_path_factory.mktemp("copies"))
    published: list = []
    chain = open_chain(directory, published)
    chain.begin("boot-1", dict.fromkeys(Track, 0))
    taken.shipped = published
    taken.active = True
    record(chain, 0)
    chain.commit_gap(gap, dict.fromkeys(Track, 5))
    record(chain, 1)
    chain.mark_stopped(77, dict.fromkeys(Track, 5))
    taken.active = False
    assert len(taken.taken) > 15
    return taken.taken


def test_after_a_crash_between_any_two_steps_the_chain_goes_on_without_hole_or_fork(snapshots):
    for directory, shipped in snapshots:
        # What was published may have been shipped and removed before the crash.
        for signed in shipped:
            for path in directory.glob(f"{signed.manifest.sequence:09d}.*"):
                path.unlink()
        published: list = []
        chain = open_chain(directory, published)
        recover_all(chain)
        chain.begin("boot-2", chain.covered)
        chain.commit_gap(gap, chain.covered)
        whole = shipped + [read_manifest(entry.path) for entry in published]
        previous = None
        for sequence, signed in enumerate(whole):
            assert signed.manifest.sequence == sequence, directory
            assert signed.manifest.previous == previous, directory
            signed.verify(KEY.public_key())
            previous = signed.sha256
        assert not list(directory.glob("*.part")) + list(directory.glob("*.head"))
        assert not list(directory.glob("*.new")) + list(directory.glob("*.damaged"))


def test_a_torn_part_keeps_its_whole_fragments_wherever_it_is_torn(tmp_path):
    whole = tmp_path / "whole.part"
    whole.write_bytes(MEDIA)
    complete, content = whole_fragments(whole)
    assert complete == len(MEDIA)
    samples = content[Track.VIDEO].samples
    ends = set()
    for size in range(0, len(MEDIA), 37):
        whole.write_bytes(MEDIA[:size])
        kept, torn = whole_fragments(whole)
        assert kept <= size
        ends.add(kept)
        assert (torn[Track.VIDEO].samples if torn[Track.VIDEO] else 0) <= samples
    assert len(ends) > 3


def test_a_clean_stop_is_remembered_until_the_next_start(tmp_path):
    chain = open_chain(tmp_path / "main", [])
    chain.begin("boot-1", dict.fromkeys(Track, 0))
    chain.mark_stopped(77, dict.fromkeys(Track, 70))
    again = open_chain(tmp_path / "main", [])
    assert again.covered == dict.fromkeys(Track, 70)
    again.begin("boot-2", again.covered)
    assert (again.stopped_us, again.last_boot_id) == (77, "boot-1")
    crashed = open_chain(tmp_path / "main", [])
    crashed.begin("boot-2", crashed.covered)
    assert crashed.stopped_us is None


def test_a_damaged_state_is_refused_rather_than_guessed(tmp_path):
    chain = open_chain(tmp_path / "main", [])
    chain.begin("boot-1", dict.fromkeys(Track, 0))
    (tmp_path / "main/chain.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"chain\.json is damaged.*enroll the room again"):
        open_chain(tmp_path / "main", [])


def test_an_old_entry_that_the_disk_lost_is_set_aside_and_the_last_one_is_an_error(tmp_path):
    published: list = []
    chain = open_chain(tmp_path / "main", published)
    for _ in range(2):
        chain.commit_gap(gap, dict.fromkeys(Track, 0))
    published[0].path.write_bytes(b"rubbish")
    after: list = []
    again = open_chain(tmp_path / "main", after)
    assert [entry.sequence for entry in after] == [1]
    assert again.damaged == ["000000000.gap"]
    assert again.next_link.sequence == 2
    assert isinstance(read_manifest(after[0].path).manifest, GapManifest | SegmentManifest)
