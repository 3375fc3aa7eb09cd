"""A manifest is read whole, or refused by file, line and cure."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.gateway.vendors.field_rules import Direction
from services.gateway.vendors.inbound import ChannelPlaces, Place
from services.gateway.vendors.manifest import (
    VENDORS,
    Manifest,
    ManifestError,
    Push,
    load_manifest,
    load_vendors,
)
from services.gateway.vendors.port import Account
from services.gateway.vendors.versions import OPAQUE, Versions
from wedsync.model.items import ItemKind

_GOOD = """\
vendor: petalworks
display_name: Petalworks
bridge_class: rest_hook
base_url: https://api.petalworks.example/v1
timeout_seconds: 8
delete_semantics: absence_sweep
auth:
  type: api_key
  credentials:
    - {name: api_key, description: The key., secret: true}
inbound:
  scheme: endpoint_key
  content_types: [application/json]
  events: [job.created]
  delivery_id: header:X-Delivery
poll: {interval_seconds: 30, sweep_interval_seconds: 3600}
rate_limit: {requests_per_second: 2.5, concurrency: 3}
kinds:
  timeline_event:
    create: true
    update: true
    delete: false
    fields:
      title: {direction: both, equivalence: trimmed, max_length: 5}
      starts_at: {direction: in, equivalence: minute}
      notes: {direction: out, equivalence: exact}
scope:
  job_id: The job.
settings:
  full_put: {default: "true", description: Whether PUT replaces.}
category: crm
"""


def _write(folder: Path, text: str) -> Path:
    folder = folder / "petalworks"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.yaml").write_text(text, "utf-8")
    return folder


def _load(folder: Path, text: str = _GOOD) -> Manifest:
    return load_manifest(_write(folder, text))


def _problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        _load(folder, text)
    assert "\n".join(caught.value.problems) == str(caught.value)
    return caught.value.problems


def test_every_part_of_a_manifest_is_read(tmp_path: Path) -> None:
    """What is written in a manifest is what the program sees."""
    manifest = _load(tmp_path)
    assert manifest.vendor == "petalworks"
    assert manifest.auth.credentials[0].secret
    assert manifest.inbound is not None
    assert manifest.inbound.events == {"job.created"}
    assert manifest.inbound.delivery_id == (Place(part="header", name="x-delivery"),)
    assert manifest.poll.interval_seconds == 30
    assert manifest.rate_limit.requests_per_second == 2.5
    assert not manifest.kinds[ItemKind.TIMELINE_EVENT].delete
    assert manifest.scope == {"job_id": "The job."}


def test_a_rule_is_found_by_kind_and_path(tmp_path: Path) -> None:
    """A mapped field has a rule with its direction; an unmapped field or kind has none."""
    manifest = _load(tmp_path)
    title = manifest.rule(ItemKind.TIMELINE_EVENT, "title")
    assert title is not None
    assert (title.direction, title.readable, title.writable) == (Direction.BOTH, True, True)
    starts_at = manifest.rule(ItemKind.TIMELINE_EVENT, "starts_at")
    notes = manifest.rule(ItemKind.TIMELINE_EVENT, "notes")
    assert starts_at is not None
    assert not starts_at.writable
    assert notes is not None
    assert not notes.readable
    assert manifest.rule(ItemKind.TIMELINE_EVENT, "location") is None
    assert manifest.rule(ItemKind.PAYMENT, "amount") is None


def test_the_poll_interval_can_be_replaced_alone(tmp_path: Path) -> None:
    """Another poll interval leaves everything else as it was."""
    manifest = _load(tmp_path)
    faster = manifest.with_poll_interval(1)
    assert faster.poll.interval_seconds == 1
    assert faster.with_poll_interval(30) == manifest


def test_an_accounts_setting_wins_over_the_default(tmp_path: Path) -> None:
    """An assumed fact can be changed per account."""
    manifest = _load(tmp_path)
    account = Account(integration_id="i", base_url="https://x.example")
    changed = Account(integration_id="i", base_url="https://x.example", settings={"full_put": "false"})
    assert manifest.setting(account, "full_put") == "true"
    assert manifest.setting(changed, "full_put") == "false"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("timeout_seconds: 8", "timeout_seconds: 0", 5, "more than 0, at most 120"),
        ("bridge_class: rest_hook", "bridge_class: magic", 3, "webhook, poll, caldav"),
        ("vendor: petalworks", "vendor: petals", 1, "write the folder's name, 'petalworks'"),
        ("delivery_id: header:X-Delivery", "delivery_id: cookie:x", 15, "Write none, or places such as"),
        ("interval_seconds: 30, ", "", 16, "lacks interval_seconds: Write the seconds between"),
        ("concurrency: 3", "concurency: 3", 17, "concurency is not known here: choose from"),
        ("timeline_event:", "party:", 19, "is no kind vendors keep: choose from timeline_event"),
        ("      notes:", "      note:", 26, "is no field of timeline_event: choose from title"),
        ("equivalence: minute", "equivalence: trimmed", 25, "choose from exact, minute"),
        ("{name: api_key,", "{name: API key,", 10, "lower-case letters"),
        ("{name: api_key, ", "{", 10, "lacks name: Use lower-case letters"),
        ("  job_id: The job.", "  job_id: ''", 28, "sentence"),
        ("display_name: Petalworks", "display_name: [", 4, "is not YAML"),
        ("display_name: Petalworks", "vendor: petalworks", 2, "vendor is written twice"),
        ("    - {name: api_key,", "    - {name: a, name: api_key,", 10, "name is written twice"),
    ],
)
def test_a_mistake_is_shown_by_file_line_and_cure(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    """A manifest with a mistake is refused, and the problem names the file, the line and the cure."""
    assert old in _GOOD
    problems = _problems(tmp_path, _GOOD.replace(old, new))
    place = f"{tmp_path}/petalworks/manifest.yaml:{line}: "
    assert any(problem.startswith(place) and says in problem for problem in problems), problems


_NOTES = "notes: {direction: out, equivalence: exact"


def test_a_choice_may_be_limited_and_ordered(tmp_path: Path) -> None:
    """A manifest may say which choices the vendor can be told, and in which order they come."""
    limits = "accepts: [tentative], rising: [[tentative], [confirmed, cancelled]]"
    text = _GOOD.replace(_NOTES, f"status: {{direction: both, equivalence: exact, {limits}")
    rule = _load(tmp_path, text).rule(ItemKind.TIMELINE_EVENT, "status")
    assert rule is not None
    assert (rule.takes("tentative"), rule.takes("confirmed"), rule.takes(None)) == (True, False, True)
    assert rule.goes_back("cancelled", "tentative")
    assert not rule.goes_back("cancelled", "confirmed")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("status: {direction: both, equivalence: exact, accepts: [maybe]", "choose from tentative"),
        ("status: {direction: both, equivalence: exact, rising: [[maybe], [confirmed]]", "names maybe"),
        ("notes: {direction: both, equivalence: exact, accepts: [x]", "it is no choice"),
    ],
    ids=["unknown value", "unknown step", "no choice"],
)
def test_limits_of_a_choice_must_name_its_values(tmp_path: Path, rule: str, says: str) -> None:
    """Values that the field does not have, and limits of what is no choice, are refused with the cure."""
    assert any(says in problem for problem in _problems(tmp_path, _GOOD.replace(_NOTES, rule)))


def test_all_mistakes_are_shown_at_once(tmp_path: Path) -> None:
    """Two mistakes are two problems, so that one run mends both."""
    text = _GOOD.replace("timeout_seconds: 8", "timeout_seconds: 0").replace(
        "concurrency: 3", "concurrency: 0"
    )
    assert len(_problems(tmp_path, text)) == 2


def test_a_hook_vendor_needs_an_inbound_section(tmp_path: Path) -> None:
    """A bridge class that promises webhooks without describing them is refused."""
    start, end = _GOOD.index("inbound:"), _GOOD.index("poll:")
    (problem,) = _problems(tmp_path, _GOOD[:start] + _GOOD[end:])
    assert "lacks inbound: Add an inbound section" in problem
    poll = _load(tmp_path, (_GOOD[:start] + _GOOD[end:]).replace("rest_hook", "poll"))
    assert poll.inbound is None


def test_a_mistake_in_merged_keys_is_shown_near_its_place(tmp_path: Path) -> None:
    """A problem in what a YAML merge key brought in is shown at the mapping that it came into."""
    rules = "      title: &rule {direction: both, equivalence: minute}\n      notes: {<<: *rule}\n"
    start, end = _GOOD.index("      title:"), _GOOD.index("scope:")
    problems = _problems(tmp_path, _GOOD[:start] + rules + _GOOD[end:])
    assert [problem.rpartition("manifest.yaml:")[2].split(":")[0] for problem in problems] == ["24", "25"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\xfa", "is not UTF-8"),
        (b"- a\n", "is not of type 'object'"),
        (b"#" * (256 * 1024 + 1), "is larger than"),
        (b"a: \x00", "is not YAML"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """An empty, binary, oversize or shapeless file is refused with what is wrong."""
    folder = _write(tmp_path, "")
    (folder / "manifest.yaml").write_bytes(content)
    with pytest.raises(ManifestError, match=says):
        load_manifest(folder)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    """A missing manifest is named, with the cure."""
    with pytest.raises(ManifestError, match=r"manifest\.yaml:1: cannot be read"):
        load_manifest(tmp_path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A vendors package of our own."""
    root = tmp_path / "some_vendors"
    root.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.startswith("some_vendors")]:
        del sys.modules[name]


def test_a_vendor_is_its_manifest_and_its_entry_point(package: Path) -> None:
    """Every folder with a manifest becomes a vendor, and create_adapter comes from its adapter.py."""
    folder = _write(package, _GOOD)
    (folder / "adapter.py").write_text("def create_adapter(http, manifest, account, scope): return 'port'\n")
    vendors = load_vendors(package, "some_vendors")
    assert list(vendors) == ["petalworks"]
    assert vendors["petalworks"].manifest.display_name == "Petalworks"
    assert callable(vendors["petalworks"].create_adapter)


@pytest.mark.parametrize("adapter", [None, "x = 1\n"])
def test_a_vendor_without_entry_point_is_refused(package: Path, adapter: str | None) -> None:
    """A folder whose adapter.py is missing or lacks create_adapter is refused with the cure."""
    folder = _write(package, _GOOD)
    if adapter is not None:
        (folder / "adapter.py").write_text(adapter)
    with pytest.raises(ManifestError, match="define create_adapter"):
        load_vendors(package, "some_vendors")


def test_the_calendar_manifest_is_valid() -> None:
    """Apple Calendar's own manifest loads and maps every field of a timeline event."""
    manifest = load_manifest(VENDORS / "apple_calendar")
    assert manifest.bridge_class == "caldav"
    assert len(manifest.kinds[ItemKind.TIMELINE_EVENT].fields) == 8


@pytest.mark.parametrize(
    ("bound", "problem"),
    [
        ("min_interval_seconds: 90", "min_interval_seconds is the longer one: write at most"),
        ("max_interval_seconds: 10", "max_interval_seconds is the shorter one: write at least"),
    ],
)
def test_the_bounds_of_the_poll_interval_lie_round_it(tmp_path: Path, bound: str, problem: str) -> None:
    """Wrong ones are named with the cure; without bounds the interval is always the same."""
    poll = _load(tmp_path).poll
    assert (poll.fastest, poll.slowest) == (30, 30)
    text = _GOOD.replace("interval_seconds: 30,", f"interval_seconds: 30, {bound},")
    with pytest.raises(ManifestError) as refused:
        load_manifest(_write(tmp_path, text))
    assert problem in str(refused.value)


_BY_CHANNEL = _GOOD.replace(
    "  scheme: endpoint_key\n",
    "  scheme: channel\n"
    "  channel: {id: header:X-Channel, secret: json:/secret, each: /value, greeting: sync,"
    " ends: {at: json:/life, values: [over]}}\n",
).replace(
    "rate_limit:",
    "push: {lifetime_seconds: 3600, renew_before_seconds: 600, poll_interval_seconds: 900}\nrate_limit:",
)


def test_push_channels_are_data(tmp_path: Path) -> None:
    """How channels live, and where a notification names its own and proves itself, is read whole."""
    manifest = _load(tmp_path, _BY_CHANNEL)
    assert manifest.push == Push(lifetime_seconds=3600, renew_before_seconds=600, poll_interval_seconds=900)
    assert manifest.inbound is not None
    assert manifest.inbound.channel == ChannelPlaces(
        channel_id=Place(part="header", name="x-channel"),
        secret=Place(part="json", name="/secret"),
        each="/value",
        greeting="sync",
        ends=Place(part="json", name="/life"),
        ending=frozenset({"over"}),
    )
    faster = manifest.with_poll_interval(1)
    assert (faster.poll.interval_seconds, faster.push and faster.push.poll_interval_seconds) == (1, 1)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scheme: channel", "scheme: endpoint_key", "write channel as the scheme"),
        ("  channel: {id: header:X-Channel, secret: json:/secret,", "  form_field: p #", "names its channel"),
        ("push: {lifetime", "# push: {lifetime", "say how they live"),
        ("renew_before_seconds: 600", "renew_before_seconds: 1801", "is over half the lifetime"),
        ("poll_interval_seconds: 900", "poll_interval_seconds: 29", "write at least poll.interval_seconds"),
        ("lifetime_seconds: 3600, ", "", "lacks lifetime_seconds: Write for how many seconds"),
        ("secret: json:/secret", "secret: cookie:x", "Write header:<Header-Name>"),
    ],
)
def test_push_channels_that_cannot_work_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    """Parts that need or exclude each other, and numbers out of range, are shown with the cure."""
    assert old in _BY_CHANNEL
    problems = _problems(tmp_path, _BY_CHANNEL.replace(old, new))
    assert any(says in problem for problem in problems), problems


_OAUTH2 = """\
  type: oauth2
  token_url: https://id.petalworks.example/token
  scopes: [jobs.write]
  client_auth: basic
  credentials:
    - {name: client_id, description: The app., secret: false}
    - {name: client_secret, description: Its secret., secret: true}
    - {name: refresh_token, description: From the consent., secret: true}
"""
_API_KEY = """\
  type: api_key
  credentials:
    - {name: api_key, description: The key., secret: true}
"""
_LIMITS = (
    "rate_limit: {requests_per_second: 2.5, concurrency: 3, headers: {remaining: X-Left, reset: X-Reset,"
    " reset_is: epoch}, disguised: [{status: 403, pointer: /error/errors/0/reason, values: [quota]}]}"
)


def test_an_oauth2_account_and_what_the_vendor_says_of_its_limits_are_read(tmp_path: Path) -> None:
    """Where tokens come from, which headers say what is left, and what a 403 may mean, is data."""
    text = _GOOD.replace(_API_KEY, _OAUTH2)
    manifest = _load(
        tmp_path, text.replace("rate_limit: {requests_per_second: 2.5, concurrency: 3}", _LIMITS)
    )
    assert manifest.auth.token_url == "https://id.petalworks.example/token"
    assert (manifest.auth.scopes, manifest.auth.client_auth) == (("jobs.write",), "basic")
    headers, [disguise] = manifest.rate_limit.headers, manifest.rate_limit.disguises
    assert (headers.remaining, headers.reset, headers.reset_is) == ("x-left", "x-reset", "epoch")
    assert (disguise.status, disguise.values) == (403, frozenset({"quota"}))
    assert manifest.with_rate(9).rate_limit.requests_per_second == 9
    assert manifest.with_rate(2.5) == manifest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  token_url: https://id.petalworks.example/token\n", "", "lacks token_url: write where"),
        ("name: refresh_token", "name: token", "lacks refresh_token: an OAuth2 account needs it"),
        ("  type: oauth2", "  type: bearer", "is of OAuth2 only"),
    ],
)
def test_an_oauth2_section_that_is_not_whole_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    """What a refresh needs must be there, and belongs to no other kind of account."""
    problems = _problems(tmp_path, _GOOD.replace(_API_KEY, _OAUTH2.replace(old, new)))
    assert any(says in problem for problem in problems)


_WHOLE = ("  delivery_id: header", "  whole_records: true\n  delivery_id: header")


def test_what_versions_are_good_for_is_data(tmp_path: Path) -> None:
    """Whole records in webhooks, and versions that rise and guard writes; without a word, none of it."""
    plain = _load(tmp_path)
    assert plain.inbound
    assert (plain.versions, plain.inbound.whole_records) == (OPAQUE, False)
    said = "versions: {rise: true, guard_writes: true}\nrate_limit:"
    manifest = _load(tmp_path, _GOOD.replace(*_WHOLE).replace("rate_limit:", said))
    assert manifest.inbound
    assert (manifest.versions, manifest.inbound.whole_records) == (
        Versions(rise=True, guard_writes=True),
        True,
    )


def test_whole_records_need_versions_that_rise(tmp_path: Path) -> None:
    """Otherwise nobody could tell a late webhook from news."""
    (problem,) = _problems(tmp_path, _GOOD.replace(*_WHOLE))
    assert "manifest.yaml:15: inbound.whole_records needs versions that tell old from new" in problem
