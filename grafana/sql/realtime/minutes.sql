-- realtime/minutes.sql: a bar a minute, of the last 30; the last one is not over.
-- A clock of a pixel that is ahead puts hits into the current minute.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
), found as (
    select least(date_trunc('minute', received_at), date_trunc('minute', now())) as starts_at,
           count(*) as pageviews, count(distinct session_id) as visitors
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
    group by 1
), minutes as (
    select starts_at, starts_at = date_trunc('minute', now()) as is_open
    from generate_series(
        date_trunc('minute', now()) - interval '29 minutes', date_trunc('minute', now()), '1 minute'
    ) as minutes (starts_at)
)
select minutes.starts_at as "time",
       case when not is_open then coalesce(pageviews, 0) end as pageviews,
       case when is_open then coalesce(pageviews, 0) end as pageviews_open,
       case when not is_open then coalesce(visitors, 0) end as visitors,
       case when is_open then coalesce(visitors, 0) end as visitors_open
from minutes
left join found using (starts_at)
where exists (select from daily_traffic where '__all__' in ($site) or site in ($site))
order by "time"
