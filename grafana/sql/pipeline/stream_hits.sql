-- pipeline/stream_hits.sql: hits on the stream, as of the last look at it.
select coalesce(sum(pending), 0) as stream_hits
from daily_ledger
where '__all__' in ($site) or site in ($site)
having exists (select from stream_look)
