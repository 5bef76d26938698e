from __future__ import annotations

from datetime import UTC, datetime

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from archive.s3_location import S3Credentials, find_credentials, parse_location
from archive.s3_rest import signed_headers
from archive.s3_retries import ChecksumError, Patience, retrying
from archive.store import ObjectMissingError, StoreAwayError, StoreError, StoreFullError

CREDENTIALS = S3Credentials("an-id", "hush-hush")
SHORT = Patience(request_s=1, give_up_s=0.5)


def test_the_url_says_everything_but_secrets():
    found = parse_location(
        "s3://footage/a/b?endpoint=https://rgw.lviv.internal:8443&region=lviv", CREDENTIALS
    )
    assert (found.bucket, found.prefix, found.region) == ("footage", "a/b", "lviv")
    assert (found.endpoint, found.virtual_hosted) == ("https://rgw.lviv.internal:8443", False)
    assert "hush-hush" not in repr(found)


def test_a_virtual_hosted_bucket_stands_in_the_host():
    found = parse_location("s3://footage?endpoint=https://rgw.lviv.internal&style=virtual", CREDENTIALS)
    assert found.endpoint == "https://footage.rgw.lviv.internal"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("s3://id:hush-hush@footage", "bears a user or a password"),
        ("s3://footage?endpoint=https://id:hush-hush@host", "no password"),
        ("s3://footage?secret=hush-hush", "not secret"),
        ("s3://footage?endpoint=rgw.lviv.internal", "use https://HOST"),
        ("s3://footage?style=dns", "path or virtual"),
        ("s3://", "not a bucket"),
        ("s3://footage/../x y", "not a bucket"),
    ],
)
def test_a_wrong_url_is_named_without_its_secret(url, named):
    with pytest.raises(StoreError, match=named) as caught:
        parse_location(url, CREDENTIALS)
    assert "hush-hush" not in str(caught.value)


def test_a_credentials_file_may_bear_an_id_with_a_colon(tmp_path):
    file = tmp_path / "s3"
    file.write_text("account:user:hush-hush\n")
    assert find_credentials(file) == S3Credentials("account:user", "hush-hush")


@pytest.mark.parametrize("text", ["", "no-colon", "id:", ":secret", "id:one\nid:two"])
def test_a_wrong_credentials_file_is_named(tmp_path, text):
    file = tmp_path / "s3"
    file.write_text(text)
    with pytest.raises(StoreError, match="ACCESS_KEY_ID:SECRET on one line"):
        find_credentials(file)


def test_the_signature_is_the_one_that_amazon_published():
    """The example "GET bucket lifecycle" of Amazon's documentation of Signature Version 4."""
    published = S3Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    url = "s3://examplebucket?endpoint=https://s3.amazonaws.com&style=virtual"
    location = parse_location(url, published)
    headers = signed_headers(location, "GET", "/", {"lifecycle": ""}, datetime(2013, 5, 24, tzinfo=UTC))
    assert headers["authorization"].endswith(
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )


def answers(*outcomes):
    """An attempt that gives these one by one; an exception is raised."""
    left = list(outcomes)

    def attempt():
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


@pytest.mark.parametrize(
    "error",
    [
        GenericError("Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>"),
        GenericError("Server returned non-2xx status code: 400 Bad Request: <Code>BadDigest</Code>"),
        GenericError("error sending request: connection refused"),
        FileNotFoundError("status code: 404 Not Found: <Code>NoSuchUpload</Code>"),
        ChecksumError("other bytes"),
    ],
)
def test_what_passes_is_tried_again(error):
    assert retrying("cannot store x", SHORT, answers(error, 1)) == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (FileNotFoundError("status code: 404 Not Found"), ObjectMissingError),
        (FileNotFoundError("status code: 404 Not Found: <Code>NoSuchBucket</Code>"), StoreAwayError),
        (GenericError("status code: 507 Insufficient Storage"), StoreFullError),
        (PermissionDeniedError("status code: 403 Forbidden: <Code>QuotaExceeded</Code>"), StoreFullError),
        (GenericError("status code: 413 Request Entity Too Large"), StoreFullError),
        (PermissionDeniedError("403 Forbidden <StringToSign>hush-hush</StringToSign>"), StoreAwayError),
    ],
)
def test_what_lasts_is_told_at_once(error, raised):
    with pytest.raises(raised, match="cannot store x") as caught:
        retrying("cannot store x", SHORT, answers(error))
    assert type(caught.value) is raised
    assert "hush-hush" not in str(caught.value)


def test_patience_ends():
    error = GenericError("operation timed out")
    with pytest.raises(StoreError, match=r"cannot store x: no answer in time; tried for 0 s"):
        retrying("cannot store x", Patience(0, 0), answers(error))
