-- alerts/lost.sql: hits of the last day that Redis lost; where a group does not say how many, the group is one.
-- A group that another enricher still holds is on the stream; five minutes let a look at it be renewed.
select coalesce(sum(coalesce(hits, groups)), 0) as hits
from lost_groups
where known_at between now() - interval '1 day' and now() - interval '5 minutes'
