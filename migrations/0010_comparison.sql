-- What the figures of dashboards say beside their number: how it compares with the period before.

create function days_to_compare(begins_at timestamptz, ends_at timestamptz)
returns table (first_day date, last_day date, whole_until date, before_from date, is_open boolean, remark text)
language sql stable parallel safe as $$
    select range.first_day, range.last_day, whole.until, range.first_day - (whole.until - range.first_day + 1),
           range.first_day >= range.today,
           case when whole.until < range.last_day then ' · without today' else '' end
    from (
        select (begins_at at time zone report_timezone)::date as first_day,
               least((ends_at at time zone report_timezone)::date,
                     greatest((begins_at at time zone report_timezone)::date, (now() at time zone report_timezone)::date)
               ) as last_day,
               (now() at time zone report_timezone)::date as today
        from installation
    ) as range
    cross join lateral (
        select case when range.last_day >= range.today and range.first_day < range.today
                    then range.today - 1 else range.last_day end as until
    ) as whole
$$;
comment on function days_to_compare(timestamptz, timestamptz) is 'The days that a range touches, none after today, and what is compared with what: its whole days (first_day to whole_until) with as many right before them (before_from on). A day that is not over is left out, which remark says, unless it is the only one (is_open).';

create function change_in_words(counted numeric, before numeric, is_open boolean) returns text
language sql immutable parallel safe as $$
    select case
        when before is null then 'nothing before'
        when is_open then to_char(before, 'FM999,999,999,990') || ' the day before'
        when counted = before then '= as before'
        when before = 0 then '▲ +' || to_char(counted, 'FM999,999,999,990') || ' from 0'
        else case when counted > before then '▲ ' else '▼ ' end
             || to_char(abs(counted - before) * 100 / before,
                        case when abs(counted - before) * 10 < before then 'FM990.0' else 'FM999,999,999,990' end)
             || ' % · ' || case when counted > before then '+' else '−' end
             || to_char(abs(counted - before), 'FM999,999,999,990')
    end
$$;
comment on function change_in_words(numeric, numeric, boolean) is 'A count against that of the period before, as dashboards say it: ▲ 12 % · +1,234. NULL before: nothing was counted that early. is_open: the day is not over, so it has no arrow.';

create function arrow_colour(change text, good text) returns text
language sql immutable strict parallel safe as $$
    select case left(change, 1)
        when '▲' then case good when 'more' then 'green' when 'fewer' then 'red' else 'text' end
        when '▼' then case good when 'more' then 'red' when 'fewer' then 'green' else 'text' end
        else 'text'
    end
$$;
comment on function arrow_colour(text, text) is 'The colour of a change in words, by whether more or fewer is good.';

create function frequent_referrals(first_day date, last_day date, of_sites text[])
returns table (referrer_id integer, page_id integer, pageviews bigint, visitors bigint)
language sql stable parallel safe as $$
    with counted as materialized (
        select distinct day
        from rollup_traffic
        where day between first_day and last_day
    ), often as materialized (
        select r.site_id, r.referrer_id, r.page_id, sum(r.pageviews) as at_least,
               sum(r.pageviews - 2) + 2 * (select count(*) from counted) as at_most
        from rollup_referrals r
        where r.day between first_day and last_day and r.is_often
          and ('__all__' = any(of_sites) or r.site_id = any(array(select site_id from sites where site = any(of_sites))))
        group by r.site_id, r.referrer_id, r.page_id
    ), hundredth as materialized (
        select at_least, at_least > 2 * (select count(*) from counted) as decides
        from often
        order by at_least desc
        offset 99 limit 1
    ), chosen as materialized (
        select o.site_id, o.referrer_id, o.page_id
        from often o
        where (select decides from hundredth) and o.at_most >= (select at_least from hundredth)
    ), found as (
        select chosen.referrer_id, chosen.page_id, sum(cell.pageviews) as pageviews, sum(cell.visitors) as visitors
        from chosen
        cross join counted
        cross join lateral (
            select r.pageviews, r.visitors
            from rollup_referrals r
            where (r.day, r.site_id, r.referrer_id, r.page_id)
                = (counted.day, chosen.site_id, chosen.referrer_id, chosen.page_id)
            offset 0
        ) cell
        group by chosen.referrer_id, chosen.page_id
        union all
        select r.referrer_id, r.page_id, sum(r.pageviews), sum(r.visitors)
        from rollup_referrals r
        where r.day between first_day and last_day
          and ('__all__' = any(of_sites) or r.site_id = any(array(select site_id from sites where site = any(of_sites))))
          and (select decides from hundredth) is not true
        group by r.referrer_id, r.page_id
    )
    select found.referrer_id, found.page_id, found.pageviews, found.visitors
    from found
    order by found.pageviews desc, found.visitors desc, found.referrer_id, found.page_id
    limit 100
$$;
comment on function frequent_referrals(date, date, text[]) is 'The 100 pairs of referrer and page with the most pageviews, exact; of_sites: these sites, or __all__. There are too many pairs to add up each. A pair has one row a day, so it has at most 2 pageviews on each day without a row of 3 or more (is_often), which one row in ten is: those alone tell which pairs can be among the first 100, and only they are added up. Where the hundredth has too few to tell, all pairs are.';

create function page_address(host text, path text) returns text
language sql immutable strict parallel safe as $$
    select 'https://' || host || regexp_replace(
        replace(regexp_replace(path, '%(?![0-9A-Fa-f]{2})', '%25', 'g'), '?', '%3F'), '#(?![/!])', '%23', 'g'
    )
$$;
comment on function page_address(text, text) is 'The address that opens a page. A path is kept decoded: what means something else in an address is encoded again.';
