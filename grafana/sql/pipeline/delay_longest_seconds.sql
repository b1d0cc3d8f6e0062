-- pipeline/delay_longest_seconds.sql: the longest of the last five minutes up to the newest stored hit, of all sites.
select max(delay_ms_max) / 1000.0 as delay_longest_seconds
from ingest_minutes
where minute > (select max(minute) from ingest_minutes) - interval '5 minutes'
having sum(hits) > 0
