"""The resources the simulator keeps, each with its fields, filters and sort orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wedsync.testing.tave.schema import (
    Rule,
    Rules,
    boolean,
    calendar_date,
    clock_time,
    integer,
    listed,
    one_of,
    shaped,
    text,
    ulid,
    uri,
)

HOOK_EVENTS = ("contact.created", "job.created", "order.booked", "payment.created")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One collection: what its objects look like and how they can be listed."""

    type: str
    """The word in the list envelope: `<type>-collection`."""
    rules: Rules
    filters: tuple[str, ...] = ()
    sort: tuple[str, ...] = ("id", "modified", "created")
    create_only: frozenset[str] = frozenset()
    """Fields that are read-only once the object exists."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """Query flag to the boolean field whose objects are left out unless it is set."""


def _served() -> Rule:
    return Rule(check=boolean, read_only=True)


_SERVER: Rules = {name: _served() for name in ("links", "id", "created", "modified", "hidden")}
_TEXT, _DATE, _ID, _FLAG = (Rule(check=c) for c in (text(), calendar_date, ulid, boolean))
_TIME, _LONG = Rule(check=clock_time), Rule(check=text(1_000_000))
_URI = Rule(check=uri)

_MAPPINGS = Rule(
    check=listed(
        shaped(
            {
                "id": Rule(check=text(64, 1), required=True, nullable=False),
                "url": Rule(check=uri, required=True, nullable=False),
            }
        )
    )
)
_PHONE = Rule(
    check=shaped(
        {
            **{n: _served() for n in ("id", "dialCode")},
            "formatted": Rule(check=text(24)),
            "e164": Rule(check=text(16)),
            **dict.fromkeys(("extension", "telUri"), _TEXT),
            "countryCode": Rule(check=text(2)),
        }
    )
)
_ADDRESS = Rule(
    check=shaped(
        {
            **_SERVER,
            **{n: _served() for n in ("name", "latitude", "longitude", "googlePlaceId", "timezone")},
            "streetAddress": Rule(check=text(512)),
            **dict.fromkeys(("village", "city", "state", "postalCode"), _TEXT),
            "country": Rule(check=text(2)),
        }
    )
)

EVENT = Resource(
    type="event",
    rules={
        **_SERVER,
        "allDay": Rule(check=boolean, default=False),
        "channel": Rule(check=one_of("InPerson", "Phone", "Virtual"), nullable=False, default="InPerson"),
        "confirmed": Rule(check=boolean, default=False),
        "descriptionHtml": _LONG,
        "startDate": _DATE,
        "startTime": _TIME,
        "startUtc": _served(),
        "endDate": _DATE,
        "endTime": _TIME,
        "endUtc": _served(),
        "timezoneName": _TEXT,
        "timezoneId": _ID,
        "externalMappings": _MAPPINGS,
        "galleryId": _ID,
        "jobId": _ID,
        "typeId": _ID,
        "location": Rule(check=shaped({"id": _ID, "address": _ADDRESS})),
        "name": _TEXT,
        "phoneNumber": _PHONE,
        "readOnly": _served(),
        "virtualUrl": _URI,
    },
    filters=("jobId", "externalMappingId"),
    sort=("id", "modified", "created", "name"),
    flags={"includeHidden": "hidden"},
)

_JOB_COMPUTED = ("accountBalance", "creditBalance", "title", "jobTypeName", "leadSourceName", "sample")
_JOB_DATES = ("bookingDate", "closedDate", "completedDate", "eventDate", "fulfillmentDate", "inquiryDate")

JOB = Resource(
    type="job",
    rules={
        **_SERVER,
        **{name: _served() for name in _JOB_COMPUTED},
        **dict.fromkeys(_JOB_DATES, _DATE),
        **dict.fromkeys(("brandId", "closedReasonId", "jobTypeId", "leadSourceId", "leadStatusId"), _ID),
        "closed": Rule(check=boolean, nullable=False, default=False),
        "customFields": Rule(check=listed(shaped({**_SERVER, "fieldId": _ID, "value": _LONG}))),
        "externalMappings": _MAPPINGS,
        "guestCount": Rule(check=integer(0)),
        "leadNotes": _LONG,
        "name": _TEXT,
        "pinned": Rule(check=boolean, default=False),
        "stage": Rule(
            check=one_of("lead", "booked", "fulfillment", "completed"), nullable=False, default="lead"
        ),
    },
    filters=("externalMappingId",),
    sort=("id", "modified", "created", "name", "eventDate", "stage", "closed"),
    flags={"includeClosed": "closed"},
)

CONTACT = Resource(
    type="addressbook",
    rules={
        **_SERVER,
        "kind": Rule(check=one_of("company", "location", "person"), required=True, nullable=False),
        **dict.fromkeys(("email", "name", "sport", "teamName"), _TEXT),
        **{name: Rule(check=text(48)) for name in ("firstName", "lastName", "maidenName")},
        "jobTitle": Rule(check=text(64)),
        "companyName": Rule(check=text(128)),
        **dict.fromkeys(("cellPhone", "homePhone", "workPhone", "phone", "fax"), _PHONE),
        "address": _ADDRESS,
        "birthdate": _DATE,
        "externalMappings": _MAPPINGS,
        "notes": _served(),
        "totalCost": _served(),
        "totalRevenue": _served(),
    },
    filters=("email",),
    sort=("id", "modified", "created", "name", "kind", "email", "firstName", "lastName"),
    flags={"includeHidden": "hidden"},
)

JOB_CONTACT = Resource(
    type="jobcontact",
    rules={
        **_SERVER,
        "client": Rule(check=boolean, default=False),
        "contactId": Rule(check=ulid, required=True, nullable=False),
        "jobId": Rule(check=ulid, required=True, nullable=False),
        "jobRoles": Rule(check=listed(ulid)),
        "roleKinds": _served(),
        "externalMappings": _MAPPINGS,
    },
    filters=("jobId", "contactId", "externalMappingId"),
    flags={"includeHidden": "hidden"},
)

PAYMENT = Resource(
    type="payment",
    rules={
        **_SERVER,
        "jobId": Rule(check=ulid, required=True, nullable=False),
        "amount": Rule(check=integer(0), required=True, nullable=False),
        "payerId": _ID,
        "paymentMethodId": _ID,
        "invoiceItemId": _ID,
        "status": Rule(
            check=one_of("future", "confirmed-future", "posted", "failed", "pending"),
            nullable=False,
            default="posted",
        ),
        "memo": Rule(check=text(128)),
        "checkNumber": Rule(check=text(18)),
        "transactionId": _TEXT,
        "authCode": Rule(check=text(100)),
        "received": _DATE,
        **{
            n: _served()
            for n in ("refundedAmount", "refunds", "paymentAllocations", "processedViaClientAccess")
        },
    },
    create_only=frozenset({"amount"}),
)

ORDER = Resource(type="order", rules={**_SERVER, "jobId": _ID, "name": _TEXT, "bookedDate": _DATE})

REST_HOOK = Resource(
    type="resthook",
    rules={
        **_SERVER,
        "event": Rule(check=one_of(*HOOK_EVENTS), required=True, nullable=False),
        "url": Rule(check=uri, required=True, nullable=False),
        "limitTo": Rule(check=shaped({"contactKinds": Rule(check=listed(text()))})),
    },
)

_NAMED: Rules = {
    **_SERVER,
    "name": Rule(check=text(24, 1), required=True, nullable=False),
    "tokenPrefix": Rule(check=text(32, 1), required=True, nullable=False),
    "kind": _TEXT,
    "externalMappings": _MAPPINGS,
}
_NAMED_SORT = ("id", "modified", "created", "name", "sortPosition")

RESOURCES: Mapping[str, Resource] = {
    "job": JOB,
    "address-book": CONTACT,
    "job-contact": JOB_CONTACT,
    "event": EVENT,
    "payment": PAYMENT,
    "order": ORDER,
    "rest-hook": REST_HOOK,
    "event-type": Resource(type="eventtype", rules=_NAMED, sort=_NAMED_SORT),
    "job-role": Resource(type="jobrole", rules=_NAMED, sort=_NAMED_SORT),
}
"""By path segment."""
