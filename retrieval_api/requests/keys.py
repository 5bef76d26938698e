"""Secrets of the resident's side: PINs, and look-ups that work without keeping what they look up.

Every key is derived (HKDF) from the server's own key, so a stolen copy of the database alone can
neither try the 10^8 PINs nor tell whether a telephone number has asked for anything.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PIN_DIGITS = 8
# OWASP Password Storage Cheat Sheet (2024), argon2id: 19 MiB, 2 passes, 1 lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified at once in this process, at most: 19 MiB each.
_AT_ONCE = threading.BoundedSemaphore(4)


def new_pin() -> str:
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}d}"


def plain_pin(text: str) -> str:
    """A typed PIN without the blanks and dashes that people put in."""
    return "".join(c for c in text[:64] if c not in " -\u00a0\u2009\u2013\u2014")


@dataclass(frozen=True, slots=True)
class RequestSecrets:
    """Keys for one purpose each; safe to share between threads."""

    _pin_key: bytes = field(repr=False)
    _contact_key: bytes = field(repr=False)
    _address_key: bytes = field(repr=False)
    receipt_key: bytes = field(repr=False)
    _nobodys_hash: str = field(repr=False)

    @classmethod
    def of(cls, server_key: Ed25519PrivateKey) -> RequestSecrets:
        raw = server_key.private_bytes_raw()

        def derive(purpose: str) -> bytes:
            return HKDF(SHA256(), 32, None, f"protokol/request/{purpose}".encode()).derive(raw)

        return cls(
            derive("pin"),
            derive("contact"),
            derive("address"),
            derive("receipt"),
            _HASHER.hash(secrets.token_bytes(32)),
        )

    def hash_pin(self, pin: str) -> str:
        """argon2id of the keyed PIN, in PHC form. Takes tens of milliseconds: hold no lock meanwhile."""
        with _AT_ONCE:
            return _HASHER.hash(self._keyed_pin(pin))

    def verify_pin(self, pin_hash: str | None, pin: str) -> bool:
        """Whether the PIN is right; takes as long for `None` (no such number) as for a hash."""
        with _AT_ONCE:
            try:
                _HASHER.verify(pin_hash or self._nobodys_hash, self._keyed_pin(pin))
            except (VerificationError, InvalidHashError):
                return False
        return pin_hash is not None

    def contact_lookup(self, kind: str, contact: str) -> str:
        """The same for the same normalised contact, and nothing to anybody without the server's key."""
        return _keyed(self._contact_key, f"{kind}:{contact}")

    def address_lookup(self, address: str) -> str:
        return _keyed(self._address_key, network_of(address))

    def _keyed_pin(self, pin: str) -> bytes:
        return hmac.digest(self._pin_key, pin.encode(), "sha256")


def network_of(address: str) -> str:
    """An IPv4 address itself; the /64 of an IPv6 one, because one household has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def contact_commitment(salt: bytes, contact: str) -> str:
    """What the custody log bears of a contact: without the salt, which goes when the person's data go,
    it says nothing.
    """
    return hashlib.sha256(salt + contact.encode()).hexdigest()


def _keyed(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), "sha256").hexdigest()
