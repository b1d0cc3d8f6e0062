-- variables/site.sql: every site that was ever counted.
select coalesce(site, 'No data yet') as site
from (select) as always
left join (select distinct site from daily_traffic) as found on true
order by site
