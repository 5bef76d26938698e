"""Whoever dribbles is cut off in bounded time, and takes no connection from the others."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

from retrieval_api import middleware
from retrieval_api.request_head import BoundedHeadProtocol
from tests.web import serving

HEAD_S = 0.6


@pytest.fixture
def url(archive, monkeypatch):
    monkeypatch.setattr(BoundedHeadProtocol, "head_s", HEAD_S)
    with serving(archive) as url:
        yield url


def connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port), timeout=20)


def dribble(sock: socket.socket, data: bytes) -> bytes:
    """Sends a byte at a time until the server has enough of it; its answer."""
    sock.settimeout(0.05)
    for number in range(400):
        try:
            sock.sendall(data[number % len(data) :][:1])
            if said := sock.recv(4096):
                return said
            break
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    return b""


def test_a_head_that_dribbles_is_cut_off(url):
    with connect(url) as sock:
        began_s = time.monotonic()
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert dribble(sock, b"X-Slow: x\r\n").startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began_s >= HEAD_S


def test_a_connection_that_says_nothing_is_closed(url):
    with connect(url) as sock:
        assert sock.recv(4096).startswith(b"HTTP/1.1 408")
        assert sock.recv(4096) == b""


def test_the_second_request_of_a_connection_has_its_bound_too(url):
    with connect(url) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        # Head and body may come apart.
        while not answer.endswith(b"}"):
            answer += sock.recv(65536)
        assert b" 200 " in answer
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert dribble(sock, b"X-Slow: x\r\n").startswith(b"HTTP/1.1 408")


def test_what_comes_after_a_whole_head_is_not_hurried_by_it(url):
    """A body takes as long as its own bounds allow, and an answer as long as it takes."""
    with connect(url) as sock:
        sock.sendall(b"POST /api/v1/marks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        time.sleep(2 * HEAD_S)
        sock.sendall(b"}")
        assert b" 422 " in sock.recv(65536).split(b"\r\n")[0]


def test_a_form_that_dribbles_is_cut_off(url, monkeypatch):
    monkeypatch.setattr(middleware, "MAX_BODY_S", 0.5)
    with connect(url) as sock:
        sock.sendall(b"POST /api/v1/marks HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert dribble(sock, b" ").startswith(b"HTTP/1.1 408")
