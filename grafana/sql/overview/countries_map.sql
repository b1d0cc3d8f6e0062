-- overview/countries_map.sql: a row a country, after a first one that is none: Grafana never colours that.
-- The countries named here have no shape in the map that ships with Grafana: a marker shows them.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select c.alpha_3, c.country, c.name, sum(d.visitors) as visitors, sum(d.pageviews) as pageviews
    from daily_countries d
    join countries c on c.country = d.country
    cross join days
    where d.day between days.first_day and days.last_day
      and ('__all__' in ($site) or d.site in ($site))
    group by c.country
), placed as (
    select 1 as place, alpha_3, name, visitors, pageviews,
        case when country in (
            'AD', 'AG', 'AI', 'AS', 'AW', 'AX', 'BB', 'BH', 'BL', 'BQ', 'BV', 'CC', 'CK', 'CV', 'CW',
            'CX', 'DM', 'FM', 'FO', 'GD', 'GG', 'GI', 'GP', 'GS', 'GU', 'HK', 'HM', 'IM', 'IO', 'JE',
            'KI', 'KM', 'KN', 'KY', 'LC', 'LI', 'MC', 'MF', 'MH', 'MO', 'MP', 'MQ', 'MS', 'MU', 'MV',
            'NF', 'NR', 'NU', 'PF', 'PM', 'PN', 'PW', 'RE', 'SC', 'SG', 'SH', 'SJ', 'SM', 'ST', 'SX',
            'TC', 'TK', 'TO', 'TV', 'UM', 'VA', 'VC', 'VG', 'VI', 'WF', 'WS', 'XK', 'YT'
        ) then country end as small_country
    from found
    union all
    select 0, null, null, null, null, null
    where exists (select from found)
)
select alpha_3, small_country, name, visitors, pageviews
from placed
order by place, visitors desc, name
