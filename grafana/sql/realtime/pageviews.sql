-- realtime/pageviews.sql: pageviews of the last 30 minutes, and of how many sessions.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
), found as (
    select count(*) as pageviews, count(distinct session_id) as visitors
    from days
    cross join lateral (
        select *
        from explore_hits h
        where h.day = days.day and h.received_at >= date_trunc('minute', now()) - interval '29 minutes'
        offset 0
    ) as hits
    where event = 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
), figure as (
    select pageviews, 'by ' || to_char(visitors, 'FM999,999,990') || case visitors when 1 then ' visitor' else ' visitors' end as change
    from found
    where exists (select from daily_traffic where '__all__' in ($site) or site in ($site))
)
select pageviews, change, 'text' as colour
from figure
