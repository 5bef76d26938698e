"""The services of the resident's side over one archive: made once a process, shared by its threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from fastapi import Request

from archive.system import Archive
from retrieval_api.requests.access import Gate
from retrieval_api.requests.decision import Desk
from retrieval_api.requests.keys import RequestSecrets
from retrieval_api.requests.receipts import ReceiptCookie, Resubmissions
from retrieval_api.requests.registration import Registrar

_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class RequestServices:
    archive: Archive
    secrets: RequestSecrets
    registrar: Registrar
    gate: Gate
    desk: Desk
    receipts: ReceiptCookie
    resubmissions: Resubmissions = field(default_factory=Resubmissions)

    @classmethod
    def over(cls, archive: Archive) -> RequestServices:
        secrets = RequestSecrets.of(archive.server_key)
        return cls(
            archive,
            secrets,
            Registrar(archive, secrets),
            Gate(archive, secrets),
            Desk(archive),
            ReceiptCookie(secrets.receipt_key),
        )


def services_of(request: Request) -> RequestServices:
    """Dependency: the services over the application's archive."""
    state = request.app.state
    with _making:
        if not hasattr(state, "request_services"):
            state.request_services = RequestServices.over(state.archive)
    return cast("RequestServices", state.request_services)


def address_of(request: Request) -> str:
    """Dependency: the network address that asks (behind a proxy, uvicorn's proxy headers put it here)."""
    return request.client.host if request.client else "unknown"
