"""PINs, look-ups and receipts: what a thief of the database, or of an address bar, does not get."""

from __future__ import annotations

from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.instants import US_PER_MINUTE, US_PER_SECOND
from retrieval_api.requests.keys import RequestSecrets, contact_commitment, network_of, new_pin, plain_pin
from retrieval_api.requests.receipts import SHOWN_FOR_SECONDS, Receipt, ReceiptCookie, Resubmissions
from tests.hashing import OF_PASSWORDS, OF_PINS

SECRETS = RequestSecrets.of(Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = RequestSecrets.of(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
NOW_US = 1_795_000_000 * US_PER_SECOND


def test_pins_are_eight_digits_and_verified_by_their_hash() -> None:
    pin = new_pin()
    assert len(pin) == 8
    assert pin.isdigit()
    pin_hash = SECRETS.hash_pin(pin)
    assert pin_hash.startswith("$argon2id$")
    assert SECRETS.verify_pin(pin_hash, pin)
    assert not SECRETS.verify_pin(pin_hash, new_pin() if pin != "00000000" else "1")
    assert not SECRETS.verify_pin(None, pin)
    assert not OTHER.verify_pin(pin_hash, pin), "a stolen table is worth nothing without the server's key"


def test_passwords_and_pins_are_dear_to_guess() -> None:
    """OWASP's least for argon2id is 19 MiB in 2 passes; RFC 9106's for little memory 64 MiB in 3."""
    assert (OF_PINS.memory_cost, OF_PINS.time_cost) == (19 * 1024, 2)
    assert (OF_PASSWORDS.memory_cost, OF_PASSWORDS.time_cost) == (64 * 1024, 3)


def test_a_pin_may_be_typed_in_groups() -> None:
    assert plain_pin(" 1234-5678 ") == plain_pin("1234 5678") == "12345678"


def test_lookups_match_only_under_the_server_key() -> None:
    same = SECRETS.contact_lookup("phone", "+380671234567")
    assert same == SECRETS.contact_lookup("phone", "+380671234567")
    assert same != SECRETS.contact_lookup("email", "+380671234567")
    assert same != OTHER.contact_lookup("phone", "+380671234567")
    assert contact_commitment(b"a", "x") != contact_commitment(b"b", "x")


def test_one_household_is_one_address() -> None:
    assert network_of("2a02:1:2:3::1") == network_of("2a02:1:2:3:ffff::9") == "2a02:1:2:3::/64"
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("unix socket") == "unix socket"


def test_a_receipt_is_readable_for_some_minutes_by_this_server_alone() -> None:
    receipt = Receipt("2026-000001-0", "12345678", date(2026, 11, 30))
    cookie = ReceiptCookie(SECRETS.receipt_key)
    sealed = cookie.seal(receipt, NOW_US)
    assert "12345678" not in sealed
    assert "12345678" not in repr(receipt)
    assert cookie.open(sealed, NOW_US + US_PER_MINUTE) == receipt
    assert cookie.open(sealed, NOW_US + (SHOWN_FOR_SECONDS + 1) * US_PER_SECOND) is None
    assert cookie.open(sealed[:-4] + "AAAA", NOW_US) is None
    assert cookie.open("", NOW_US) is None
    assert ReceiptCookie(OTHER.receipt_key).open(sealed, NOW_US) is None


def test_a_double_click_gets_the_first_receipt() -> None:
    forms = Resubmissions(at_most=2)
    with forms.form("a") as earlier:
        assert earlier is None
        forms.remember("a", "sealed")
    with forms.form("a") as earlier:
        assert earlier == "sealed"
    forms.remember("b", "1")
    forms.remember("c", "2")
    with forms.form("a") as earlier:
        assert earlier is None, "only the last forms are remembered"
