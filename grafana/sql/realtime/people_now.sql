-- realtime/people_now.sql: whoever had a pageview in the last 5 minutes, and the pageviews of nobody in particular.
-- A quiet site has 0; one that was never counted has no row.
with days as materialized (
    select ((now() - interval '30 minutes') at time zone report_timezone)::date as first_day,
           (now() at time zone report_timezone)::date as last_day
    from installation
), found as (
    select count(distinct session_id) as people, count(*) - count(session_id) as anonymous
    from explore_hits
    where day in ((select first_day from days), (select last_day from days))
      and received_at >= now() - interval '5 minutes'
      and event = 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
), figure as (
    select people,
           case when anonymous = 0 then 'all with a session'
                else '+ ' || to_char(anonymous, 'FM999,999,990') || case anonymous when 1 then ' pageview' else ' pageviews' end || ' without a session' end as change
    from found
    where exists (select from daily_traffic where '__all__' in ($site) or site in ($site))
)
select people, change, 'text' as colour
from figure
