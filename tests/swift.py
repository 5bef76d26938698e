"""OpenStack Swift with its S3 door as the tests' object store: a proxy and the daemons behind it on loopback.

Three object servers keep three replicas, so that one of them may be killed. Needs what `make setup` puts
into .venv-swift, and extended attributes in the directory that is given.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from archive.s3_location import S3Credentials, parse_location
from archive.s3_rest import S3Rest
from archive.s3_store import S3ObjectStore
from archive.store import StoreError
from tests.guard import Guard
from tests.processes import free_port, wait_for

_HOME = Path(__file__).resolve().parents[1] / ".venv-swift" / "bin"
CREDENTIALS = S3Credentials("test:tester", "testing")
REGION = "us-east-1"

_SERVER = """\
[DEFAULT]
devices = {root}/srv
mount_check = false
# What may be filled is the tests' business.
fallocate_reserve = 0
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {root}
recon_cache_path = {root}/cache
user = {user}
log_name = {name}
log_level = WARNING
log_address = {root}/no-syslog
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {root}
user = {user}
log_name = proxy
log_level = WARNING
log_address = {root}/no-syslog
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 5
conn_timeout = 0.5
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{nothing}
memcache_max_connections = 2
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = no
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
# Else the parts of a deleted object stay until another daemon has come round.
allow_async_delete = false
[filter:dlo]
use = egg:swift#dlo
"""

_SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = test
swift_hash_path_suffix = test
[storage-policy:0]
name = gold
default = yes
"""

_RINGS = """\
import sys
from swift.common.ring import RingBuilder
root, account, container, *objects = sys.argv[1:]
for name, ports in (("account", [account]), ("container", [container]), ("object", objects)):
    builder = RingBuilder(4, len(ports), 0)
    for number, port in enumerate(ports):
        at = {"ip": "127.0.0.1", "port": int(port)}
        again = {"replication_ip": at["ip"], "replication_port": at["port"], "meta": ""}
        place = {"id": number, "region": 1, "zone": number + 1, "device": f"d{number + 1}", "weight": 1.0}
        builder.add_dev({**place, **at, **again})
    builder.rebalance()
    builder.get_ring().save(f"{root}/{name}.ring.gz")
"""


def require_swift(directory: Path) -> None:
    """Skips, with the reason, where Swift cannot run: a counted skip, never a silent one."""
    if not (_HOME / "swift-proxy-server").exists():
        pytest.skip("OpenStack Swift is not installed in .venv-swift: run `make setup`")
    probe = directory / "xattr-probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.probe", b"1")
    except OSError as error:
        pytest.skip(f"Swift needs extended attributes in {directory}: {error.strerror}")


class Swift:
    """One installation; every daemon can be killed and started again by its name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._guards: dict[str, Guard] = {}
        for name in ("srv/d1", "srv/d2", "srv/d3", "cache", "log"):
            (root / name).mkdir(parents=True)
        self.objects = ("object1", "object2", "object3")
        self._ports = ports = {name: free_port() for name in ("proxy", "account", "container", *self.objects)}
        self.endpoint = f"http://127.0.0.1:{ports['proxy']}"
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        (root / "swift.conf").write_text(_SWIFT_CONF)
        rings = [str(ports[name]) for name in ("account", "container", *self.objects)]
        subprocess.run([_HOME / "python", "-c", _RINGS, root, *rings], check=True, timeout=60)
        for name, port in ports.items():
            kind = name.rstrip("123")
            template = _PROXY if kind == "proxy" else _SERVER
            values = {"root": root, "port": port, "user": user, "name": name, "kind": kind}
            (root / f"{name}.conf").write_text(template.format(**values, nothing=free_port()))
        try:
            for name in ports:
                self.start(name)
            self.wait_ready()
        except BaseException:
            self.close()
            raise

    def start(self, name: str) -> None:
        with (self.root / "log" / name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [_HOME / "python", _HOME / f"swift-{name.rstrip('123')}-server", self.root / f"{name}.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Swift's own configuration directory would be /etc/swift.
                env={**os.environ, "SWIFT_ROOT": str(self.root), "SWIFT_CONF_DIR": str(self.root)},
            )
        self._guards[name] = Guard(self._processes[name])

    def kill(self, name: str) -> None:
        """As `kill -9` does it."""
        self._guards.pop(name).dismiss()
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def wait_ready(self) -> None:
        """Until a bucket can be made: the proxy answers before the daemons behind it do."""

        def ready() -> bool:
            for name, process in self._processes.items():
                assert process.poll() is None, (name, (self.root / "log" / name).read_text()[-2000:])
            try:
                for port in self._ports.values():
                    socket.create_connection(("127.0.0.1", port), 1).close()
                self.new_bucket()
            except (OSError, StoreError):
                return False
            return True

        wait_for(ready, 60, "Swift is ready")

    def make_bucket(self, bucket: str) -> None:
        S3Rest(parse_location(url_of(self.endpoint, bucket), CREDENTIALS)).request("PUT")

    def new_bucket(self) -> str:
        bucket = f"footage-{os.urandom(6).hex()}"
        self.make_bucket(bucket)
        return bucket

    def files(self) -> set[Path]:
        """What the object servers keep on their disks, all replicas."""
        return {path for path in (self.root / "srv").rglob("*.data") if "/objects/" in str(path)}

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)


def url_of(endpoint: str, bucket: str, prefix: str = "") -> str:
    """The store's URL as a setting would say it."""
    return f"s3://{bucket}/{prefix}?endpoint={endpoint}&region={REGION}"


def open_store(swift: Swift, bucket: str, endpoint: str | None = None, **options: Any) -> S3ObjectStore:
    """A raw store with a prefix, past every setting; `endpoint`: something on the way to Swift."""
    url = url_of(endpoint or swift.endpoint, bucket, "a/b")
    return S3ObjectStore(parse_location(url, CREDENTIALS), swift.root / "spool", **options)
