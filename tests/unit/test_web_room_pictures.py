"""Pictures of rooms in the server's memory: for whom, and for how long."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from recorder.instants import US_PER_SECOND
from retrieval_api.room_pictures import KEPT_US, LOOK_US, Look, PictureTold, RoomPictures

S = US_PER_SECOND
NOW = 1_800_000_000 * S
EVER = NOW + 3600 * S
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0 a picture").decode()


def told(*, clear: bool = False) -> dict[str, PictureTold]:
    return {"main": PictureTold(at_us=NOW, blurred=JPEG, clear=JPEG if clear else None)}


@pytest.fixture
def pictures():
    return RoomPictures()


def test_a_picture_is_kept_for_a_minute_without_heartbeat_and_not_longer(pictures) -> None:
    pictures.take("108", told(), EVER, NOW)
    assert set(pictures.of_room("108", NOW + KEPT_US - 1)) == {"main"}
    assert pictures.of_room("108", NOW + KEPT_US) == {}
    assert pictures.of_room("116", NOW) == {}
    pictures.forget_old(NOW + KEPT_US)
    assert pictures._rooms == {}, "nor in memory"


def test_a_picture_ends_with_the_window_and_there_is_none_outside(pictures) -> None:
    pictures.take("108", told(), NOW + 10 * S, NOW)
    assert pictures.of_room("108", NOW + 10 * S - 1)
    assert pictures.of_room("108", NOW + 10 * S) == {}
    pictures.take("108", told(), None, NOW + 11 * S)
    assert pictures.of_room("108", NOW + 11 * S) == {}
    assert pictures._rooms["108"].pictures == {}


def test_a_heartbeat_without_pictures_takes_them_away(pictures) -> None:
    pictures.take("108", told(), EVER, NOW)
    pictures.take("108", {}, EVER, NOW + 5 * S)
    assert pictures.of_room("108", NOW + 5 * S) == {}


def test_a_clear_picture_is_for_the_session_that_asked_while_its_look_lasts(pictures) -> None:
    pictures.take("108", told(clear=True), EVER, NOW)
    assert pictures.of_room("108", NOW)["main"].clear is None, "nobody asked: it is not even kept"
    assert pictures.clear_s("108", NOW) == 0
    pictures.ask("108", "asked", Look(7, NOW + LOOK_US))
    assert pictures.clear_s("108", NOW) == 120
    assert pictures.clear("108", "main", "asked", NOW) is None, "it is under way"
    pictures.take("108", told(clear=True), EVER, NOW + 5 * S)
    found = pictures.clear("108", "main", "asked", NOW + 5 * S)
    assert found
    assert (found.jpeg, found.viewing_id) == (base64.b64decode(JPEG), 7)
    assert pictures.clear("108", "main", "another", NOW + 5 * S) is None
    assert pictures.clear("108", "door", "asked", NOW + 5 * S) is None
    assert pictures.clear("116", "main", "asked", NOW + 5 * S) is None
    pictures.take("108", told(clear=True), EVER, NOW + LOOK_US - 1)
    assert pictures.clear("108", "main", "asked", NOW + LOOK_US - 1)
    assert pictures.clear("108", "main", "asked", NOW + LOOK_US) is None
    assert pictures.clear_s("108", NOW + LOOK_US) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"blurred": "not base64!"},
        {"blurred": base64.b64encode(b"<script>").decode()},
        {"blurred": base64.b64encode(b"\xff\xd8\xff" + bytes(3000)).decode()},
        {"blurred": JPEG, "clear": base64.b64encode(b"\xff\xd8\xff" + bytes(50_000)).decode()},
        {"blurred": JPEG, "at_us": 2**63},
    ],
)
def test_what_is_no_small_jpeg_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        PictureTold.model_validate({"at_us": NOW, **wrong})
