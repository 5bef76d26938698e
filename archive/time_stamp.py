"""Time stamps (RFC 3161) of checkpoints: a stranger's word that one existed at a time.

The server's own key could sign any date; the authority's cannot be had afterwards. Nothing waits for an
authority: one that is away costs a later try.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from archive import checkpoint
from archive.system import Archive
from recorder.errors import ConfigurationError, ProtokolError
from recorder.instants import to_us
from recorder.logging import get_logger
from recorder.settings import Settings

_TIMEOUT_S = 10
# A response is some 5 kB with its certificates.
_MAX_RESPONSE_BYTES = 256 * 1024
_log = get_logger()


class TimeStampError(ProtokolError):
    """An answer that proves nothing: refused, of another file, not signed by who is trusted."""


class AuthorityAwayError(ProtokolError):
    """The authority cannot be reached, or is not able to answer now."""


def anchors(settings: Settings) -> list[x509.Certificate]:
    """The certificates that vouch for the authority; none where no file is named.

    Raises ConfigurationError for a file that holds no PEM certificate, or an address without a file: an
    answer that cannot be verified is worth nothing.
    """
    path = settings.tsa_certificate_file
    if path is None:
        if settings.tsa_url is not None:
            raise ConfigurationError(
                "PROTOKOL_TSA_URL is set and PROTOKOL_TSA_CERTIFICATE_FILE is not: put the authority's root "
                "certificate (PEM) into a file and name it there"
            )
        return []
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"cannot read PROTOKOL_TSA_CERTIFICATE_FILE {path}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"PROTOKOL_TSA_CERTIFICATE_FILE {path} holds no PEM certificate: {error}"
        ) from error


def verify(
    response: bytes, message: bytes, trusted: Sequence[x509.Certificate], nonce: int | None = None
) -> int:
    """When the authority saw `message`, in UTC microseconds. Raises TimeStampError.

    `response` is a DER TimeStampResp. Certificates need to be valid at the time that it tells, not now:
    it proves for longer than they live. With `nonce`, it must be the answer to that very question.
    """
    # Nothing says which of the trusted ones are roots; a chain that ends in any of them is believed.
    builder = VerifierBuilder(roots=list(trusted), nonce=nonce)
    try:
        decoded = decode_timestamp_response(response)
        builder.build().verify_message(decoded, message)
        return to_us(decoded.tst_info.gen_time)
    except (VerificationError, ValueError) as error:
        raise TimeStampError(str(error)[:300] or "not a time stamp") from error


def ask(url: str, message: bytes, trusted: Sequence[x509.Certificate]) -> bytes:
    """The authority's verified answer, DER. Raises AuthorityAwayError, TimeStampError."""
    request = (
        TimestampRequestBuilder()
        .data(message)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    try:
        with httpx.stream(
            "POST", url, content=request.as_bytes(), headers=headers, timeout=_TIMEOUT_S
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                raise AuthorityAwayError(f"{url} answered {answer.status_code}")
            response = b""
            for piece in answer.iter_bytes():
                response += piece
                if len(response) > _MAX_RESPONSE_BYTES:
                    raise TimeStampError(f"the answer is over {_MAX_RESPONSE_BYTES} bytes")
    except httpx.HTTPError as error:
        raise AuthorityAwayError(f"{url}: {error or type(error).__name__}") from error
    verify(response, message, trusted, request.nonce)
    return response


def stamp_missing(archive: Archive) -> int:
    """Ask for each checkpoint that has no time stamp, the newest first; how many were added.

    Does nothing where no authority is set. One that is away ends the round with a warning, a wrong answer
    with an alarm and nothing kept: the next round asks again.
    """
    url = archive.settings.tsa_url
    if url is None:
        return 0
    trusted, key, added = anchors(archive.settings), archive.server_key.public_key(), 0
    for row in checkpoint.unstamped(archive):
        try:
            checkpoint.read(row, key)
            response = ask(url, checkpoint.document(row, key), trusted)
        except AuthorityAwayError as error:
            _log.warning("time_stamp_authority_away", checkpoint=row.date, error=error)
            break
        except checkpoint.CheckpointError as error:
            _log.critical("checkpoint_not_stamped", alarm=True, error=error)
            continue
        except TimeStampError as error:
            _log.critical("time_stamp_refused", alarm=True, checkpoint=row.date, authority=url, error=error)
            break
        added += checkpoint.keep_time_stamp(archive, row.number, response)
    if added:
        checkpoint.publish(archive)
    return added
