-- explore/properties_of_an_event.sql: a property of an event: one site, one country.
select props ->> 'plan' as plan, count(*) as events, count(distinct session_id) as sessions
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me
  and event = 'signup' and site = 'blog.example' and country = 'US'
group by plan
order by events desc, plan
