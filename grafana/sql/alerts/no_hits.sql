-- alerts/no_hits.sql: sites without a pageview, of which at least 20 had been due since it is quiet.
-- Usual is the median of the same hour of the week, by the clock, in the last four weeks: two at least, as far as the
-- site goes back. Due is what even the quietest of these weeks had, so that a blog at night and a site that ended a week
-- ago say nothing. Quiet since the beginning of this hour, for 15 minutes at least, or since that of the hour before.
-- No row while no enricher looks at the stream, or the rollups are behind: that has alerts of its own.
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
), hours as materialized (
    select hours_ago, 0 as weeks_ago, day, starts_at, starts_at as began_at
    from recent
    union all
    select hours_ago, weeks_ago, local.at::date,
           date_bin('1 hour', local.at at time zone report_timezone, local.at::date::timestamp at time zone report_timezone),
           starts_at
    from recent
    cross join today
    cross join generate_series(1, 4) as weeks_ago
    cross join lateral (select (starts_at at time zone report_timezone) - weeks_ago * interval '7 days' as at) local
), seen as (
    select site_id, min(r.day) as first_day
    from rollup_traffic r
    cross join today
    where r.day between today.day - 35 and today.day and r.pageviews > 0
    group by site_id
), counted as (
    select seen.site_id, hours_ago, began_at,
           sum(r.pageviews) filter (where weeks_ago = 0) is null as is_quiet,
           count(*) filter (where weeks_ago > 0) as weeks,
           percentile_cont(0.5) within group (order by coalesce(r.pageviews, 0)) filter (where weeks_ago > 0) as usual,
           min(coalesce(r.pageviews, 0)) filter (where weeks_ago > 0) as due,
           least(1, extract(epoch from now() - began_at) / 3600) as share
    from seen
    join hours h on h.day > seen.first_day or weeks_ago = 0
    left join (select day, site_id, hour_starts_at, pageviews from rollup_hours where pageviews > 0) r
           on r.day = h.day and r.site_id = seen.site_id and r.hour_starts_at = h.starts_at
    group by seen.site_id, hours_ago, began_at
), stretches as (
    select site_id, min(began_at) as began_at, sum(usual * share) as usual
    from counted
    cross join generate_series(0, 1) as since
    where hours_ago <= since
    group by site_id, since
    having bool_and(is_quiet and weeks >= 2) and sum(due * share) >= 20 and min(began_at) <= now() - interval '15 minutes'
)
select site, round(extract(epoch from now() - min(began_at)) / 60)::int as minutes, round(max(usual))::int as usual
from stretches
join sites using (site_id)
where exists (select from stream_look where looked_at > now() - interval '2 minutes')
  and not exists (select from rollup_pending where stored_at < now() - interval '1 minute')
group by site
order by site
