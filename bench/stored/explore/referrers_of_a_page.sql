-- explore/referrers_of_a_page.sql: which addresses led to a folder.
select source, referrer, path, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and source is not null and path like '/2020/%' and country <> 'US'
group by source, referrer, path
order by pageviews desc, source, referrer, path
limit 25
