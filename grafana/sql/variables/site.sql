-- variables/site.sql: every site that was ever counted.
select distinct site from daily_traffic order by site
