-- rollup: open_missing
-- The partition of a day that hits may come to; not of one whose hits were dropped.
select open_hits_day(%(day)s)
from installation
where %(day)s::date between (now() at time zone report_timezone)::date - 1 and (now() at time zone report_timezone)::date + %(ahead)s
  and to_regclass('hits_days.d' || to_char(%(day)s::date, 'YYYYMMDD')) is null
