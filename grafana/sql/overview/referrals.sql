-- overview/referrals.sql: the 15 sources with the most pageviews, under each the pages it led to, and the others.
-- Of the 100 pairs of referrer and page with the most pageviews those of one source and page are one row, by the first of
-- their referrers. Each source shows its first four pages; what is left of its pageviews is said in a row of its own.
-- No cell is empty: a space without width stands for nothing, of which a link shows nothing either.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), sources as (
    select source, sum(pageviews) as pageviews, row_number() over (order by sum(pageviews) desc, source) as place
    from daily_sources
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
      and source is not null
    group by source
), found as (
    select sources.place, sources.source, f.page_id, r.referrer, f.pageviews,
           row_number() over (partition by sources.place, f.page_id
                              order by f.pageviews desc, f.referrer_id) as place_in_page
    from days
    cross join lateral frequent_referrals(days.first_day, days.last_day, array[$site]) f
    join referrers r using (referrer_id)
    join sources on sources.source = r.source and sources.place <= 15
), gathered as (
    select place, source, page_id, sum(pageviews) as pageviews, count(*) - 1 as more_referrers,
           max(referrer) filter (where place_in_page = 1) as referrer,
           row_number() over (partition by place order by sum(pageviews) desc, page_id) as place_in_source
    from found
    group by place, source, page_id
), shown as (
    select g.place, g.source, g.place_in_source, g.pageviews, g.referrer, g.more_referrers,
           coalesce(t.title, p.path) as title, p.host || p.path as page,
           page_address(p.host, p.path) as page_address
    from gathered g
    join pages p using (page_id)
    left join rollup_titles n using (page_id)
    left join titles t using (title_id)
    where g.place_in_source <= 4
), rows as (
    select place, 0 as place_in_source, source as label, U&'\200B' as referrer, pageviews, source, 'All' as page,
           'about:blank' as address
    from sources
    where place <= 15
    union all
    select place, place_in_source, '↳ ' || title,
           coalesce(regexp_replace(referrer, '^https?://(www\.)?', ''), '–')
           || case when more_referrers > 0 then ' + ' || more_referrers || ' more' else '' end,
           pageviews, source, page, case when referrer ~ '^https?://' then referrer else page_address end
    from shown
    union all
    select place, 5, '↳ … others', U&'\200B', sources.pageviews - of_shown.pageviews, source, 'All', 'about:blank'
    from sources
    join (select place, sum(pageviews) as pageviews from shown group by place) of_shown using (place)
    where sources.pageviews > of_shown.pageviews
    union all
    select 16, 0, '+ ' || count(*) || ' other sources', U&'\200B', sum(pageviews), 'All', 'All', 'about:blank'
    from sources
    where place > 15
    having count(*) > 0
)
select label, referrer, pageviews, source, page, address
from rows
order by place, place_in_source
