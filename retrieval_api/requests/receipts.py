"""The receipt: number and PIN, shown once.

Between the POST that registers and the page that shows, the receipt travels in a cookie that only this
server can read (Fernet) and that it accepts for some minutes: the PIN stands in no URL, no log and no
table, any server process can show the page, and a reload shows it again.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from cryptography.fernet import Fernet, InvalidToken

from recorder.instants import US_PER_SECOND

SHOWN_FOR_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class Receipt:
    """`answer_date` is the last local date on which the answer is on time."""

    number: str
    pin: str = field(repr=False)
    answer_date: date


class ReceiptCookie:
    """Seals receipts and opens them again while they are fresh."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, receipt: Receipt, now_us: int) -> str:
        body = json.dumps([receipt.number, receipt.pin, receipt.answer_date.isoformat()])
        return self._fernet.encrypt_at_time(body.encode(), now_us // US_PER_SECOND).decode()

    def open(self, sealed: str, now_us: int) -> Receipt | None:
        """None for what is forged, damaged or older than SHOWN_FOR_SECONDS."""
        try:
            body = self._fernet.decrypt_at_time(sealed.encode(), SHOWN_FOR_SECONDS, now_us // US_PER_SECOND)
        except InvalidToken:
            return None
        number, pin, answer_date = json.loads(body)
        return Receipt(number, pin, date.fromisoformat(answer_date))


class Resubmissions:
    """Remembers which form made which receipt, so that a double click registers one request, not two.

    In memory and of this process only: the second click follows within seconds.
    """

    def __init__(self, at_most: int = 1000) -> None:
        self._at_most = at_most
        self._sealed: OrderedDict[str, str] = OrderedDict()
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def form(self, token: str) -> Iterator[str | None]:
        """One thread at a time for each form token; yields the sealed receipt that it has made already."""
        with self._lock:
            mine = self._busy.setdefault(token, threading.Lock())
        with mine:
            try:
                yield self._sealed.get(token)
            finally:
                with self._lock:
                    self._busy.pop(token, None)

    def remember(self, token: str, sealed: str) -> None:
        with self._lock:
            self._sealed[token] = sealed
            while len(self._sealed) > self._at_most:
                self._sealed.popitem(last=False)
