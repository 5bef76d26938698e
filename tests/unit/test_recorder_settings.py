"""Settings: unknown keys are refused, wherever they stand; each has a line of description."""

from __future__ import annotations

import pytest

from recorder.errors import ConfigurationError
from recorder.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PROTOKOL_SETTINGS_FILE", str(tmp_path / "protokol.toml"))


def test_defaults_are_the_embedded_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTOKOL_DATA_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.database == f"sqlite:///{tmp_path}/archive.sqlite"
    assert settings.spool_dir("108") == tmp_path / "spool" / "108"


def test_an_unknown_name_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("PROTOKOL_DATA_DRI", "/x")
    with pytest.raises(ConfigurationError, match="PROTOKOL_DATA_DRI"):
        load_settings()


def test_an_unknown_key_in_the_file_is_refused(tmp_path):
    (tmp_path / "protokol.toml").write_text('data_dri = "/x"\n')
    with pytest.raises(ConfigurationError, match="data_dri"):
        load_settings()


def test_a_broken_file_and_a_wrong_value_are_named(tmp_path, monkeypatch):
    (tmp_path / "protokol.toml").write_text("data_dir = \n")
    with pytest.raises(ConfigurationError, match="unreadable"):
        load_settings()
    (tmp_path / "protokol.toml").write_text("")
    monkeypatch.setenv("PROTOKOL_LISTEN_PORT", "80000")
    with pytest.raises(ConfigurationError, match="listen_port"):
        load_settings()


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / "protokol.toml").write_text("listen_port = 8001\nanswer_days = 5\n")
    monkeypatch.setenv("PROTOKOL_LISTEN_PORT", "8002")
    settings = load_settings()
    assert (settings.listen_port, settings.answer_days) == (8002, 5)


def test_every_setting_says_what_it_is():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
