-- pipeline/disk_free.sql: bytes that are free, as of the rollup's last look.
select disk_free_bytes as disk_free
from disk_outlook
