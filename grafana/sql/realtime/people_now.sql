-- realtime/people_now.sql: whoever had a pageview in the last 5 minutes, and the pageviews of nobody in particular.
-- A quiet site has 0; one that was never counted has no row.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
), found as (
    select count(distinct session_id) as people, count(*) - count(session_id) as anonymous
    from days
    cross join lateral (
        select *
        from explore_hits h
        where h.day = days.day and h.received_at >= now() - interval '5 minutes'
        offset 0
    ) as hits
    where event = 'pageview'
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
