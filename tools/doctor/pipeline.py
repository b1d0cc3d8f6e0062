"""Whether what was taken is counted: schema, rollups, dead letters, ledger, gaps, retention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrations_in
from tools.audit import retention
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

# As the dashboard `pipeline` and its alerts have it.
LATE_S, STUCK_S = 30.0, 300.0

STATE = """
select
    (select coalesce(extract(epoch from max(clock_timestamp() - stored_at)), 0)::float8 from rollup_pending),
    (select greatest(0, extract(epoch from clock_timestamp() - oldest_at))::float8 from stream_look),
    (select greatest(0, extract(epoch from clock_timestamp() - looked_at))::float8 from stream_look),
    (select coalesce(sum(letters), 0)::bigint from open_letters),
    (select count(*) from ledger_differences),
    (select coalesce(sum(groups), 0)::bigint from lost_groups),
    (select max(seconds) from gaps where ended_at is null)
"""


class Schema(NamedTuple):
    """Migrations by number."""

    missing: Sequence[int]  # which this version has and the database has not
    strange: Sequence[int]  # the other way round


def gather_schema(installation: Installation) -> Schema:
    """Raises ``CannotAsk``, ``psycopg.Error``."""
    ours = {migration.number for migration in migrations_in(MIGRATIONS)}
    with installation.database() as connection:
        [(is_there,)] = connection.execute("select to_regclass('schema_migrations') is not null").fetchall()
        rows = connection.execute("select number from schema_migrations").fetchall() if is_there else []
    applied = {number for (number,) in rows}
    return Schema(sorted(ours - applied), sorted(applied - ours))


def judge_schema(schema: Schema) -> Judgement:
    """Whether database and this checkout fit together."""
    if schema.strange:
        return Judgement(
            f"the database has {_numbers(schema.strange)}, which this checkout has not", ("newer",)
        )
    if schema.missing:
        return Judgement(f"{_numbers(schema.missing)} wait to be applied", ("pending",))
    return Judgement("all migrations are applied")


def _numbers(numbers: Sequence[int]) -> str:
    return "migration " + ", ".join(f"{number:04}" for number in numbers)


class Pipeline(NamedTuple):
    """How long things wait, in seconds, and what stands open."""

    rollup_s: float
    stream_s: float  # of the oldest entry
    look_s: float | None  # since an enricher looked; None: none ever has
    letters: int
    differences: int
    lost: int
    gap_s: int | None  # of the one that is open
    late_days: Sequence[str]  # what is older than RETENTION_DAYS allows
    not_proven: int


def gather(installation: Installation) -> Pipeline:
    """Raises ``CannotAsk``, ``psycopg.Error``."""
    with installation.database() as connection:
        [(rollup_s, stream_s, look_s, letters, differences, lost, gap_s)] = connection.execute(
            STATE
        ).fetchall()
        late = [item.name for item in retention(connection, installation.settings) if item.problem]
    return Pipeline(
        rollup_s, stream_s or 0.0, look_s, letters, differences, lost, gap_s, late, _not_proven(installation)
    )


def _not_proven(installation: Installation) -> int:
    try:
        return int(installation.metrics("rollup").get(("footfall_rollup_days_not_proven", ""), 0))
    except CannotAsk:
        return 0


def judge(found: Pipeline) -> Judgement:
    """Whether anything waits too long, or is lost."""
    waits_s = max(found.rollup_s, found.stream_s)
    faults = {
        "no-look": found.look_s is not None and found.look_s > STUCK_S,
        "stuck": waits_s > STUCK_S,
        "behind": LATE_S < waits_s <= STUCK_S,
        "letters": found.letters > 0,
        "ledger": found.differences > 0,
        "lost": found.lost > 0,
        "gap": found.gap_s is not None,
        "retention": bool(found.late_days),
        "not-proven": found.not_proven > 0,
    }
    says = (
        f"stream {found.stream_s:.0f} s, rollups {found.rollup_s:.0f} s behind, {found.letters} dead letters, "
        f"{found.differences} differences in the ledger"
    )
    says += f", {', '.join(found.late_days)} older than allowed" if found.late_days else ""
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so))
