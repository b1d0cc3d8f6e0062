-- explore/missing_pages.sql: missing pages that a link within the site leads to.
select path, referrer, count(*) as pageviews
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and status = 404 and site = 'blog.example' and source is null
group by path, referrer
order by pageviews desc, path, referrer
limit 25
