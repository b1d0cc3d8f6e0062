-- alerts/spike.sql: sites that have, in this hour or in the one before, five times the pageviews that are usual, and where from.
-- Usual is the median of the same hour of the week, by the clock, in the last four weeks: two at least, as far as the
-- site goes back. At least 50 pageviews, of 25 readers: one who reads much is no spike.
-- The source is that with the most pageviews of the day beyond its own mean of the 14 days before.
-- Days are looked up one by one: the key of a rollup begins with the day.
with today as materialized (
    select report_timezone, (now() at time zone report_timezone)::date as day
    from installation
), recent as (
    select hours_ago, moment.day, date_bin('1 hour', moment.at, moment.day::timestamp at time zone report_timezone) as starts_at
    from today
    cross join generate_series(0, 1) as hours_ago
    cross join lateral (
        select now() - hours_ago * interval '1 hour' as at,
               ((now() - hours_ago * interval '1 hour') at time zone report_timezone)::date as day
    ) moment
), read as (
    select r.site_id, r.day, recent.starts_at, r.pageviews, first_day
    from recent
    join rollup_hours r on r.day = recent.day and r.hour_starts_at = recent.starts_at
    cross join lateral (
        select min(t.day) as first_day
        from generate_series(0, 35) as ago
        join rollup_traffic t on t.day = recent.day - ago and t.site_id = r.site_id
        where t.pageviews > 0
    ) seen
    where r.pageviews >= 50 and r.visitors + r.anonymous_pageviews >= 25
), spikes as (
    select distinct on (site_id) site_id, read.day, read.pageviews, round(usual)::int as usual
    from read
    cross join lateral (
        select count(*) as weeks, percentile_cont(0.5) within group (order by coalesce(r.pageviews, 0)) as usual
        from today
        cross join generate_series(1, 4) as weeks_ago
        cross join lateral (select (read.starts_at at time zone report_timezone) - weeks_ago * interval '7 days' as at) local
        left join rollup_hours r
               on r.day = local.at::date and r.site_id = read.site_id
              and r.hour_starts_at = date_bin('1 hour', local.at at time zone report_timezone,
                                              local.at::date::timestamp at time zone report_timezone)
        where local.at::date > read.first_day
    ) before
    where weeks >= 2 and read.pageviews >= 5 * usual
    order by site_id, read.pageviews desc
)
select site, left(found.source, 100) as source, found.channel, spikes.pageviews, spikes.usual
from spikes
join sites using (site_id)
cross join lateral (
    select coalesce(r.source, r.channel) as source, r.channel
    from generate_series(0, 14) as ago
    join rollup_sources r on r.day = spikes.day - ago and r.site_id = spikes.site_id
    group by r.source, r.channel
    order by sum(case ago when 0 then r.pageviews else -r.pageviews / 14.0 end) desc, 1
    limit 1
) found
order by site
