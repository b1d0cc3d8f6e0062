-- bench: book when the hits of a day were stored: at once
insert into ingest_minutes (minute, hits, delay_ms_sum, delay_ms_max, newest_received_at)
select date_trunc('minute', received_at), count(*), count(*) * 100, 250, max(received_at)
from stored_hits
where day = %(day)s
group by 1
