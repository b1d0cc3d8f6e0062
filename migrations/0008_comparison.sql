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
