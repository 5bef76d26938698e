"""Plans, holds, reports and certificates as JSON documents and as lines for people.

Pure. A plan's first line says in numbers what would be destroyed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from archive.models import Certificate, Hold
from recorder.instants import format_instant
from retention.policy import Amount, Decision, Plan
from retention.purge import Report


def size(size_bytes: int) -> str:
    """Decimal units, one digit after the point: 2.1 GB."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def _amount(amount: Amount) -> dict[str, int]:
    return {"objects": amount.objects, "size_bytes": amount.size_bytes}


def plan_document(plan: Plan, timezone: str) -> dict[str, Any]:
    return {
        "now": format_instant(plan.now_us, timezone),
        "digest": plan.digest,
        "needs_confirmation": plan.needs_confirmation,
        "destroy": {**_amount(plan.destroyed), "room_days": plan.days_destroyed},
        "archive": {**_amount(plan.total), "room_days": plan.days_total},
        "room_days": [_decision(each, timezone) for each in plan.decisions],
    }


def _decision(decision: Decision, timezone: str) -> dict[str, Any]:
    return {
        "room": decision.room,
        "date": decision.date,
        "action": "destroy" if decision.acts else "keep",
        "due": format_instant(decision.due_us, timezone),
        "purged": decision.purged,
        "destroy": _amount(decision.destroyed),
        "total": _amount(decision.total),
        "held": [
            {"hold": hold, "items": [[str(item.kind), item.id] for item in items]}
            for hold, items in decision.held_by.items()
        ],
        "reasons": list(decision.reasons(timezone)),
    }


def plan_lines(plan: Plan, timezone: str) -> Iterator[str]:
    yield (
        f"would destroy {plan.destroyed.objects} objects, {size(plan.destroyed.size_bytes)}, of "
        f"{plan.days_destroyed} room-days; the archive has {plan.total.objects} objects, "
        f"{size(plan.total.size_bytes)}, in {plan.days_total} room-days"
    )
    if plan.needs_confirmation:
        yield f"that is more than half of it: run with --confirm {plan.digest}"
    for decision in plan.decisions:
        if decision.due:
            what = f"destroy {decision.destroyed.objects}, keep {len(decision.keep)}"
            reasons = "; ".join(decision.reasons(timezone))
            yield f"{decision.room} {decision.date}: {what}: {reasons}"
    waiting = [decision.due_us for decision in plan.decisions if not decision.due]
    if waiting:
        first = format_instant(min(waiting), timezone)
        yield f"{len(waiting)} room-days are not due yet; the next is due {first}"
    yield f"digest {plan.digest}"


def report_document(report: Report, timezone: str) -> dict[str, Any]:
    return {
        "now": format_instant(report.now_us, timezone),
        "plan": report.plan_sha256,
        "destroyed": _amount(report.destroyed),
        "room_days": [
            {
                "room": day.room,
                "date": day.date,
                "destroyed": _amount(day.destroyed),
                "kept": [
                    {"kind": str(kept.item.kind), "id": kept.item.id, "holds": list(kept.holds)}
                    for kept in day.kept
                ],
            }
            for day in report.days
        ],
        "strays": report.strays,
        "certificates": report.certificates,
        "failures": report.failures,
    }


def report_lines(report: Report) -> Iterator[str]:
    yield (
        f"destroyed {report.destroyed.objects} objects, {size(report.destroyed.size_bytes)}, of "
        f"{len(report.days)} room-days; {len(report.certificates)} certificates signed"
    )
    if report.strays:
        yield f"destroyed {report.strays} objects of purged room-days that no row named"
    for day in report.days:
        yield f"{day.room} {day.date}: destroyed {day.destroyed.objects}, kept {len(day.kept)} under holds"


def hold_document(hold: Hold, timezone: str, now_us: int) -> dict[str, Any]:
    return {
        "id": hold.id,
        "room": hold.room,
        "from": format_instant(hold.start_us, timezone),
        "to": format_instant(hold.end_us, timezone),
        "reason": hold.reason,
        "legal_ground": hold.legal_ground,
        "author": hold.author,
        "request": hold.request_id,
        "created": format_instant(hold.created_us, timezone),
        "expires": None if hold.expires_us is None else format_instant(hold.expires_us, timezone),
        "expired": hold.expires_us is not None and hold.expires_us <= now_us,
    }


def hold_line(hold: Hold, timezone: str, now_us: int) -> str:
    told = hold_document(hold, timezone, now_us)
    expired = "  EXPIRED: decide whether to release it" if told["expired"] else ""
    return (
        f"{hold.id}  {hold.room}  {told['from']} .. {told['to']}  {hold.author}  "
        f"{hold.reason} ({hold.legal_ground}){expired}"
    )


def certificate_document(row: Certificate) -> dict[str, Any]:
    return {
        "number": row.id,
        "sha256": row.sha256,
        "signature": row.signature,
        "certificate": json.loads(row.body),
    }


def certificate_line(row: Certificate) -> str:
    told = json.loads(row.body)
    destroyed = told["destroyed"]
    objects = destroyed["segments"] + destroyed["quarantined"]
    kept = (
        f"; kept under hold {', '.join(str(each['hold']) for each in told['kept'])}" if told["kept"] else ""
    )
    return (
        f"{row.id}  room {told['room']['label']}  {row.date}: {objects} objects, "
        f"{size(destroyed['size_bytes'])}, destroyed {format_instant(told['purged_us'])}{kept}"
    )
