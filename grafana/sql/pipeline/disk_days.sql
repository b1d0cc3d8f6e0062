-- pipeline/disk_days.sql: until the disk is full; 36,500 says that nothing grows, or so slowly.
select least(coalesce(days_left, 36500), 36500) as disk_days
from disk_outlook
where database_grows_bytes is not null
