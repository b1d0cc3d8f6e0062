-- pipeline/look_seconds.sql: since an enricher last looked at the stream.
select greatest(0, extract(epoch from clock_timestamp() - looked_at)) as look_seconds
from stream_look
