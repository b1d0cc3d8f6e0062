-- bots/share.sql: which part of the hits of bots and people is of bots, in per cent, and of how many. Without a hit:
-- no row.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), traffic as (
    select sum(bot_hits) as bot_hits, sum(pageviews) as pageviews
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), others as (
    select coalesce(sum(events), 0) as events
    from daily_events
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), figure as (
    select 100.0 * bot_hits / (bot_hits + pageviews + events) as share,
           'of ' || to_char(bot_hits + pageviews + events, 'FM999,999,999,990') || ' hits' as change
    from traffic
    cross join others
    where bot_hits + pageviews + events > 0
)
select share, change, 'text' as colour
from figure
