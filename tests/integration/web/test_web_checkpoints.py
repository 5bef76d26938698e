"""The public page of checkpoints: open to everybody, the same bytes for ever, nothing beside them."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from archive import checkpoint
from recorder.instants import US_PER_DAY, now_us


def test_an_archive_without_any_says_when_the_first_comes(client):
    assert "Ще немає жодної" in client.get("/checkpoints").text
    assert client.get("/checkpoints/2026-11-24.json").status_code == 404
    assert client.get("/checkpoints/2026-11-24.tsr").status_code == 404
    assert client.get("/checkpoints/nonsense.json").status_code == 422


def test_everybody_sees_and_saves_each_of_them(archive, client):
    made = [checkpoint.make_checkpoint(archive, now_us() - day * US_PER_DAY) for day in range(62)]
    checkpoint.keep_time_stamp(archive, made[-1].number, b"0stamp")
    page = client.get("/checkpoints").text
    newest = made[-1]
    told = checkpoint.read(newest, archive.server_key.public_key())
    assert told.head_sha256 in page
    assert page.count(".json") > 60
    assert f"/checkpoints/{newest.date}.tsr" in page
    older = client.get(f"/checkpoints?before={made[2].number}").text
    assert f"/checkpoints/{made[0].date}.json" in older
    assert f"/checkpoints/{newest.date}.json" not in older
    english = client.get("/checkpoints?lang=en").text
    assert "How to check" in english
    assert client.get(f"/checkpoints/{newest.date}.tsr").content == b"0stamp"

    answer = client.get(f"/checkpoints/{newest.date}.json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{newest.date}.json"'
    file = checkpoint.directory(archive.settings) / f"{newest.date}.json"
    assert answer.content == file.read_bytes()
    key = load_pem_public_key(client.get("/checkpoints/server-key.pem").content)
    published = json.loads(answer.content)
    assert checkpoint.public_key_text(key) == published["public_key"]
    assert published["public_key"] in page
