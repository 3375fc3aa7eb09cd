"""Any canonical value, item, change and result, for property tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    Collision,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Source,
)
from wedsync.model.ids import new_id
from wedsync.model.items import CATALOGUE, LIFE, FieldSpec, FieldType, FieldValue, ItemKind
from wedsync.model.moments import on_the_clock
from wedsync.model.values import FIRST_YEAR, LAST_YEAR, MAX_MINOR_UNITS, MAX_TAGS, money, zoned_time

ZONES = ("Europe/Paris", "America/New_York", "Asia/Kathmandu", "UTC", "Etc/GMT+12")
_FIRST = datetime.fromisoformat(f"{FIRST_YEAR}-01-02")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

currencies = st.sampled_from(["USD", "JPY"])
ids = st.builds(new_id)
_unkept = [*map(chr, (*range(0x20), *range(0x7F, 0xA0)))]
_turning = [*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))]
line = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=_unkept + _turning), min_size=1, max_size=40
)
lines = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters=[c for c in _unkept + _turning if c not in "\t\n"]
    ),
    min_size=1,
    max_size=40,
)
zoned_times = st.builds(
    lambda since, zone: zoned_time(on_the_clock(_FIRST + since, zone).isoformat(), zone),
    st.integers(0, (LAST_YEAR - FIRST_YEAR) * 365 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    st.sampled_from(ZONES),
)
moments = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(
    lambda since: datetime(1970, 1, 1, tzinfo=UTC) + since
)
labels = line.filter(lambda label: label == label.strip())


def _typed(spec: FieldSpec) -> st.SearchStrategy[FieldValue]:
    by_type: dict[FieldType, st.SearchStrategy[FieldValue]] = {
        FieldType.TEXT: line,
        FieldType.LINES: lines,
        FieldType.DATE: st.dates(date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)).map(date.isoformat),
        FieldType.ZONED_TIME: zoned_times,
        FieldType.BOOL: st.booleans(),
        FieldType.INTEGER: st.integers(spec.least, spec.most),
        FieldType.MONEY: st.builds(money, st.integers(spec.least, MAX_MINOR_UNITS), currencies),
        FieldType.ENUM: st.sampled_from(spec.values or ("",)),
        FieldType.TAGS: st.sets(labels, min_size=1, max_size=MAX_TAGS).map(lambda tags: tuple(sorted(tags))),
    }
    return by_type[spec.type]


def values_of(kind: ItemKind, path: str) -> st.SearchStrategy[FieldValue]:
    """Any canonical value of a field, none included where it may be empty."""
    spec = CATALOGUE[kind][path]
    return _typed(spec) if spec.required else st.none() | _typed(spec)


sources = st.builds(
    Source,
    organization_id=labels,
    actor=line,
    link_id=st.none() | ids,
    vendor=st.none() | labels,
    record_id=st.none() | labels,
)
kinds = st.sampled_from(ItemKind)


@st.composite
def fields(draw: st.DrawFn) -> tuple[ItemKind, str, FieldValue]:
    """Any field of any kind with any of its values."""
    kind = draw(kinds)
    path = draw(st.sampled_from(sorted(CATALOGUE[kind])))
    return kind, path, draw(values_of(kind, path))


def _states(values: st.SearchStrategy[FieldValue]) -> st.SearchStrategy[FieldState]:
    collisions = st.builds(
        Collision,
        sequence=st.integers(1, 1 << 40),
        proposed=values,
        proposed_by=sources,
        current_by=sources,
        also_held=st.lists(ids, max_size=2).map(tuple),
    )
    return st.builds(
        FieldState,
        value=values,
        revision=st.integers(0, 1 << 40),
        source=sources,
        collision=st.none() | collisions,
    )


@st.composite
def items(draw: st.DrawFn) -> ItemState:
    """Any item."""
    kind = draw(kinds)
    paths = draw(st.lists(st.sampled_from(sorted(CATALOGUE[kind])), unique=True))
    return ItemState(
        item_id=draw(ids),
        kind=kind,
        life=draw(_states(st.booleans())),
        fields={path: draw(_states(values_of(kind, path))) for path in paths},
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Any change that makes sense by itself."""
    kind, item_kind = draw(st.sampled_from(ChangeKind)), draw(kinds)
    catalogue = CATALOGUE[item_kind]
    paths = set(draw(st.lists(st.sampled_from(sorted(catalogue)), min_size=1, unique=True)))
    if kind is ChangeKind.CREATE:
        paths |= {path for path, spec in catalogue.items() if spec.required}
    written = kind in {ChangeKind.CREATE, ChangeKind.UPDATE}
    revisions = st.integers(0, 1 << 40)
    return Change(
        change_id=draw(ids),
        item_id=draw(ids),
        item_kind=item_kind,
        kind=kind,
        source=draw(sources),
        values={path: draw(values_of(item_kind, path)) for path in sorted(paths)} if written else {},
        base=draw(st.dictionaries(st.sampled_from([*sorted(catalogue), LIFE]), revisions)),
        default_base=draw(st.none() | revisions),
        base_values={path: draw(values_of(item_kind, path)) for path in sorted(paths)}
        if draw(st.booleans())
        else {},
        trace_parent=draw(st.sampled_from(["", TRACE])),
    )


@st.composite
def results(draw: st.DrawFn) -> tuple[ItemKind, ChangeResult]:
    """What may become of a change to an item of a kind."""
    kind = draw(kinds)
    outcomes = st.sampled_from(Outcome)
    paths = draw(st.lists(st.sampled_from(sorted(CATALOGUE[kind])), unique=True))
    return kind, ChangeResult(
        change_id=draw(ids),
        outcome=draw(outcomes),
        sequence=draw(st.integers(0, 1 << 40)),
        fields=tuple(
            FieldResult(
                path=path,
                outcome=draw(outcomes),
                revision=draw(st.integers(0, 1 << 40)),
                previous=draw(values_of(kind, path)),
                proposed=draw(values_of(kind, path)),
                reason=draw(st.sampled_from(["", "ITEM_DELETED"])),
            )
            for path in paths
        ),
        reason=draw(st.sampled_from(["", "UNKNOWN_ITEM"])),
        committed_at=draw(
            st.none()
            | st.timedeltas(timedelta(0), timedelta(days=80_000)).map(
                datetime(1970, 1, 1, tzinfo=UTC).__add__
            )
        ),
    )
