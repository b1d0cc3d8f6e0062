-- explore/visitors_of_common_values.sql: how many visitors three common values leave, by system.
select os, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and site = 'blog.example' and device = 'desktop' and channel = 'Direct'
group by os
order by visitors desc, os
