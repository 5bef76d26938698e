"""A time stamp authority of the test's own: openssl behind a small HTTP server."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONFIG = """\
[tsa]
default_tsa = tsa1
[tsa1]
serial = {home}/serial
signer_cert = {home}/tsa.pem
signer_key = {home}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[signer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
"""


@dataclass
class Authority:
    """`mode`: `well`, `away` (503), `nonsense` (no time stamp), `replay` (its first answer, again)."""

    home: Path
    url: str = ""
    mode: str = "well"
    asked: int = 0
    first: bytes = b""

    @property
    def root(self) -> Path:
        return self.home / "root.pem"

    def answer(self, query: bytes) -> bytes:
        self.asked += 1
        if self.mode == "nonsense":
            return b"<html>log in to the hotel's network</html>"
        if self.mode == "replay":
            return self.first
        (self.home / "query.tsq").write_bytes(query)
        _openssl(self.home, "ts", "-reply", "-config", "conf", "-queryfile", "query.tsq", "-out", "reply.tsr")
        reply = (self.home / "reply.tsr").read_bytes()
        self.first = self.first or reply
        return reply


def _openssl(home: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True)


def make_authority(home: Path) -> Authority:
    home.mkdir()
    (home / "conf").write_text(_CONFIG.format(home=home))
    (home / "serial").write_text("01\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "conf")
    _openssl(home, "req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-days", "3650",
             "-subj", "/CN=Test root", "-extensions", "root")  # fmt: skip
    _openssl(home, "req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test TSA")
    _openssl(home, "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "3650",
             "-set_serial", "2", "-extfile", "conf", "-extensions", "signer", "-out", "tsa.pem")  # fmt: skip
    return Authority(home)


@contextmanager
def serving_authority(home: Path) -> Iterator[Authority]:
    authority = make_authority(home)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            status = 503 if authority.mode == "away" else 200
            reply = b"" if status == 503 else authority.answer(query)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    authority.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield authority
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
