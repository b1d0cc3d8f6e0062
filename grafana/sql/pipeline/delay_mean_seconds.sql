-- pipeline/delay_mean_seconds.sql: the mean of the last five minutes up to the newest stored hit, of all sites.
select sum(delay_ms_sum) / 1000.0 / sum(hits) as delay_mean_seconds
from ingest_minutes
where minute > (select max(minute) from ingest_minutes) - interval '5 minutes'
having sum(hits) > 0
