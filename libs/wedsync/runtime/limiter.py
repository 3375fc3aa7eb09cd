"""How often and how many at once: an allowance per name, shared by all processes through Redis.

A bucket of tokens fills at the allowed rate. Whoever is less urgent leaves some of them for the more
urgent, and whoever works through a mass takes at most a share of the rate. The same rules are written
twice: in Python, for a process by itself, and in Lua, for all of them. While Redis is away a process goes
on with a fair part of the allowance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from wedsync.clock import Clock
from wedsync.model.ids import new_id
from wedsync.runtime.hints import Hints

BUSY_SECONDS = 0.05
"""How soon to ask again where all places are taken: when one becomes free, nobody knows."""

FORGET_SECONDS = 3_600
"""A name that nobody used for so long begins afresh."""

_USER_SECONDS = 60
# Never seen how many share an allowance: rather few calls than too many.
_UNKNOWN_USERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one name may do, all processes together."""

    name: str
    per_second: float
    burst: float
    """How many may follow each other at once, 1 or more."""
    at_once: int
    hold_seconds: float
    """What does not leave by then is taken for dead, and its place is free again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How urgent one entry is."""

    reserve: float = 0.0
    """The share of the burst that is left for the more urgent, 0 to 1."""
    share: float = 1.0
    """The share of the rate that entries on these terms get at most, all together."""
    at_once: int = 1_000_000
    """Enter only where fewer than so many are inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Come in; to be given back by `leave`."""

    name: str
    token: str
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Ask again in so many seconds, at the earliest."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What the other side said about the allowance while somebody was inside."""

    pause: float = 0.0
    """Nobody may enter for so many seconds."""
    remaining: float | None = None
    """So many entries are left until the allowance is renewed."""
    per_second: float | None = None
    """The true rate is no higher than this."""


NOTHING = Lesson()


class Limiter(Protocol):
    """Lets in as many as are allowed."""

    async def enter(self, allowance: Allowance, terms: Terms) -> Granted | Wait:
        """Say whether to come in now; never waits itself."""
        ...

    async def leave(self, granted: Granted, lesson: Lesson = NOTHING) -> None:
        """Give the place back, and pass on what was learned."""
        ...


@dataclass(slots=True)
class _Bucket:
    """Tokens that fill up."""

    level: float
    at: float

    def fill(self, now: float, rate: float, size: float) -> None:
        self.level = min(size, self.level + max(0.0, now - self.at) * rate)
        self.at = now


@dataclass(slots=True)
class _State:
    """What is known of one name."""

    all: _Bucket
    massed: _Bucket
    """What those who get a share only have left of it."""
    inside: dict[str, float] = field(default_factory=dict)
    paused_until: float = 0.0
    ceiling: float = float("inf")


class LocalLimiter:
    """The allowances of one process by itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}

    async def enter(self, allowance: Allowance, terms: Terms) -> Granted | Wait:
        """Say whether to come in now."""
        now, state = self._clock.monotonic(), self._state(allowance.name)
        rate, size = min(allowance.per_second, state.ceiling), allowance.burst
        state.all.fill(now, rate, size)
        state.massed.fill(now, rate * terms.share, size)
        state.inside = {token: until for token, until in state.inside.items() if until > now}
        needed = 1 + terms.reserve * (size - 1)
        wait = max(state.paused_until - now, (needed - state.all.level) / rate)
        if terms.share < 1:
            wait = max(wait, (1 - state.massed.level) / (rate * terms.share))
        if wait > 1e-6:
            return Wait(seconds=wait)
        if len(state.inside) >= min(allowance.at_once, terms.at_once):
            return Wait(seconds=BUSY_SECONDS)
        state.all.level -= 1
        if terms.share < 1:
            state.massed.level -= 1
        token = new_id()
        state.inside[token] = now + allowance.hold_seconds
        return Granted(name=allowance.name, token=token, shared=False)

    async def leave(self, granted: Granted, lesson: Lesson = NOTHING) -> None:
        """Give the place back."""
        state = self._state(granted.name)
        state.inside.pop(granted.token, None)
        if lesson.pause:
            state.paused_until = max(state.paused_until, self._clock.monotonic() + lesson.pause)
        if lesson.remaining is not None:
            state.all.level = min(state.all.level, lesson.remaining)
        if lesson.per_second is not None:
            state.ceiling = lesson.per_second

    def _state(self, name: str) -> _State:
        # The first filling makes any bucket as full as it may be.
        full = _Bucket(float("inf"), self._clock.monotonic())
        return self._states.setdefault(name, _State(full, replace(full)))


class SharedLimiter:
    """The allowances of all processes, as long as Redis answers; a fair part of them while it does not."""

    def __init__(self, hints: Hints, clock: Clock) -> None:
        self._hints, self._local, self._me = hints, LocalLimiter(clock), new_id()
        self._users: dict[str, int] = {}

    async def enter(self, allowance: Allowance, terms: Terms) -> Granted | Wait:
        """Say whether to come in now."""
        token = new_id()
        answer = await self._hints.evaluate(
            _ENTER, _keys(allowance.name), self._asked(allowance, terms, token)
        )
        if answer is None:
            return await self._local.enter(self._part(allowance), terms)
        granted, seconds, users = answer
        self._users[allowance.name] = int(users)
        if granted:
            return Granted(name=allowance.name, token=token, shared=True)
        return Wait(seconds=float(seconds))

    async def leave(self, granted: Granted, lesson: Lesson = NOTHING) -> None:
        """Give the place back; what was learned is learned here too, for when Redis is away.

        Nobody waits for Redis to hear of it: the call was made, and what follows from it is urgent.
        """
        await self._local.leave(granted, lesson)
        if granted.shared:
            told = (lesson.pause, _or_nothing(lesson.remaining), _or_nothing(lesson.per_second))
            self._hints.tell(_LEAVE, _keys(granted.name), [granted.token, *told])

    def _asked(self, allowance: Allowance, terms: Terms, token: str) -> list[str | float]:
        limits = (allowance.per_second, allowance.burst, min(allowance.at_once, terms.at_once))
        who = (token, allowance.hold_seconds, self._me)
        return [*limits, terms.reserve, terms.share, *who, _USER_SECONDS, BUSY_SECONDS, FORGET_SECONDS]

    def _part(self, allowance: Allowance) -> Allowance:
        if not self._hints.configured:  # nobody to share with was ever meant
            return allowance
        users = self._users.get(allowance.name, _UNKNOWN_USERS)
        return replace(
            allowance,
            per_second=allowance.per_second / users,
            burst=max(1.0, allowance.burst / users),
            at_once=max(1, allowance.at_once // users),
        )


def _keys(name: str) -> list[str]:
    # One slot of a cluster: a script reaches no other.
    return [f"wedsync:limit:{{{name}}}:{part}" for part in ("state", "inside", "users")]


def _or_nothing(value: float | None) -> float | str:
    return "" if value is None else value


_ENTER = """
local rate, burst, at_once = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local reserve, share = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZADD', KEYS[3], now, ARGV[8])
redis.call('EXPIRE', KEYS[3], ARGV[9])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[9]))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local users = redis.call('ZCARD', KEYS[3])
local known = redis.call('HMGET', KEYS[1], 'level', 'massed', 'at', 'massed_at', 'paused', 'ceiling')
rate = math.min(rate, tonumber(known[6]) or rate)
local function filled(level, at, speed)
  if not level then return burst end
  return math.min(burst, tonumber(level) + math.max(0, now - tonumber(at)) * speed)
end
local level = filled(known[1], known[3], rate)
local massed = filled(known[2], known[4], rate * share)
local wait = math.max((tonumber(known[5]) or 0) - now, (1 + reserve * (burst - 1) - level) / rate)
if share < 1 then wait = math.max(wait, (1 - massed) / (rate * share)) end
if wait > 0.000001 then return {0, tostring(wait), users} end
if redis.call('ZCARD', KEYS[2]) >= at_once then return {0, ARGV[10], users} end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[7]), ARGV[6])
local moment = string.format('%.6f', now)
redis.call('HSET', KEYS[1], 'level', level - 1, 'at', moment)
if share < 1 then redis.call('HSET', KEYS[1], 'massed', massed - 1, 'massed_at', moment) end
redis.call('EXPIRE', KEYS[1], ARGV[11])
redis.call('EXPIRE', KEYS[2], ARGV[11])
return {1, '0', users}
"""

_LEAVE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZREM', KEYS[2], ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'level', 'paused')
if tonumber(ARGV[2]) > 0 then
  local paused = math.max(tonumber(known[2]) or 0, now + tonumber(ARGV[2]))
  redis.call('HSET', KEYS[1], 'paused', string.format('%.6f', paused))
end
if ARGV[3] ~= '' and known[1] then
  redis.call('HSET', KEYS[1], 'level', math.min(tonumber(known[1]), tonumber(ARGV[3])))
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'ceiling', ARGV[4]) end
return 1
"""
