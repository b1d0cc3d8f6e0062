-- alerts/gap.sql: how long no pixel has taken hits, of the gap that is open.
select coalesce(max(seconds), 0)::integer as seconds
from gaps
where ended_at is null
