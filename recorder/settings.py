"""Settings of the whole installation: environment `PROTOKOL_*`, else `/etc/protokol/protokol.toml`.

One class, on the ground floor: every floor and every command reads the same names, so an unknown
key can be refused once, for all. Reading settings touches no database and opens no footage.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AnyHttpUrl, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recorder.errors import ConfigurationError

SETTINGS_FILE = Path("/etc/protokol/protokol.toml")
PREFIX = "PROTOKOL_"
# Read by this module and by systemd only; not fields.
_META_KEYS = {"PROTOKOL_SETTINGS_FILE"}

_Url = Annotated[str, BeforeValidator(lambda value: str(AnyHttpUrl(str(value))).rstrip("/"))]


class Settings(BaseSettings):
    """Every setting, with the default of the embedded scale (SQLite, local directory, one process)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(Path("/var/lib/protokol"), description="where everything that is kept lies")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite in DATA_DIR")
    keys_url: str | None = Field(None, description="database of keys; default: SQLite in DATA_DIR")
    store_url: str | None = Field(None, description="footage objects; default: DATA_DIR/footage")
    s3_credentials_file: Path | None = Field(
        None,
        description="holds ACCESS_KEY_ID:SECRET of an s3:// store; default: systemd's credential `s3`, "
        "else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
    s3_ca_file: Path | None = Field(None, description="certificates that an s3:// store's TLS is trusted by")
    s3_spool_dir: Path | None = Field(
        None, description="objects on their way into an s3:// store; default: DATA_DIR/uploads"
    )
    rooms_file: Path | None = Field(None, description="the live rooms file; default: DATA_DIR/rooms.yaml")
    server_url: _Url = Field("http://127.0.0.1:8000", description="where agents find the council server")
    public_url: _Url = Field("http://127.0.0.1:8000", description="what residents see in links and QR codes")
    master_key_file: Path | None = Field(
        None, description="wraps all keys of footage; a demo makes its own in DATA_DIR"
    )
    server_key_file: Path | None = Field(
        None,
        description="signs configurations, checkpoints and certificates; one for all servers of an archive; "
        "default: DATA_DIR/server.key",
    )
    agent_key_file: Path | None = Field(None, description="the room's key and token, made by `agent enroll`")
    agent_spool_dir: Path | None = Field(None, description="default: DATA_DIR/spool/ROOM")
    camera_secrets_dir: Path | None = Field(
        None,
        description="a file `NAME` per `credentials: NAME`, holding user:password; "
        "default: systemd's $CREDENTIALS_DIRECTORY",
    )
    spool_limit_bytes: int = Field(
        200 * 10**9, gt=0, description="what an agent may hold back while the server is away"
    )
    listen_host: str = Field("127.0.0.1", description="address of `protokol serve`")
    listen_port: int = Field(8000, ge=0, le=65535, description="port of `protokol serve`")
    metrics_token: SecretStr | None = Field(
        None, description="who asks for /metrics must bear it; default: only this host may ask"
    )
    session_hours: int = Field(12, ge=1, le=24, description="how long a log-in of staff lasts")
    secure_cookies: bool = Field(
        True, description="off only where the pages are served without TLS on loopback"
    )
    answer_days: int = Field(7, ge=1, description="days until a request is answered; the council's own rule")
    appeal_days: int = Field(30, ge=0, description="days that a refused request's hold still stands")
    link_days: int = Field(30, ge=1, description="days that a released recording can be viewed")
    open_requests_per_contact: int = Field(3, ge=1, description="open requests that one contact may have")
    open_requests_per_address: int = Field(
        10, ge=1, description="open requests that one network address may have"
    )
    marks_token: SecretStr | None = Field(
        None,
        min_length=20,
        description="bearer token with which an alert system marks alerts; without it none may",
    )
    tsa_url: _Url | None = Field(
        None, description="time stamp authority (RFC 3161) for daily checkpoints; default: none"
    )
    tsa_certificate_file: Path | None = Field(
        None, description="PEM certificates that vouch for the time stamp authority"
    )
    demo: bool = Field(False, description="set by `protokol demo`; marks the archive it creates as a demo")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        path = Path(os.environ.get("PROTOKOL_SETTINGS_FILE", SETTINGS_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'archive.sqlite'}"

    @property
    def keys(self) -> str:
        return self.keys_url or f"sqlite:///{self.data_dir / 'keys.sqlite'}"

    @property
    def store(self) -> str:
        return self.store_url or str(self.data_dir / "footage")

    @property
    def rooms(self) -> Path:
        return self.rooms_file or self.data_dir / "rooms.yaml"

    @property
    def server_key(self) -> Path:
        return self.server_key_file or self.data_dir / "server.key"

    def spool_dir(self, room_id: str) -> Path:
        return self.agent_spool_dir or self.data_dir / "spool" / room_id


def load_settings(**overrides: Any) -> Settings:
    """Settings in force; raises ConfigurationError that names each wrong or unknown key."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _META_KEYS
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(f"unknown settings in the environment: {', '.join(unknown)}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("wrong settings: " + "; ".join(lines)) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"settings file is unreadable: {error}") from error
