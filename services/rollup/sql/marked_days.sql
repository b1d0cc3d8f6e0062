-- rollup: marked_days
-- The days to count sessions of: today's first, then those that have waited longest, of these the newest.
select s.day
from sessions_pending s cross join installation i
group by s.day, i.report_timezone
order by s.day < (now() at time zone i.report_timezone)::date, min(s.marked_at), s.day desc
