-- pipeline/installation.sql: what this installation is, as the database knows it.
select what, says
from (
    select 1 as place, 'Sites' as what, coalesce(nullif(sites, ''), '–') as says from installation
    union all
    select 2, 'Reporting time zone', report_timezone from installation
    union all
    select 3, 'Counting since', min(day)::text from ledger having min(day) is not null
    union all
    select 4, 'Version of the rules', rules::text from installation where rules is not null
    union all
    select 5, 'PostgreSQL', split_part(current_setting('server_version'), ' ', 1)
    union all
    select 6, 'Database', pg_size_pretty(database_bytes) from disk_outlook
    union all
    select 7, 'Grows a day', case when database_grows_bytes is null then 'not known before two days'
                                  else pg_size_pretty(greatest(database_grows_bytes, 0)) end
    from disk_outlook
    union all
    select 8, 'Disk', pg_size_pretty(disk_free_bytes) || ' free of ' || pg_size_pretty(disk_total_bytes) from disk_outlook
) facts
where exists (select from ledger)
order by place
