-- rollup: make_post_sites
insert into sites (site, used_on)
select distinct g.site, (now() at time zone report_timezone)::date
from unnest(%(sites)s::text[]) as g (site) cross join installation
where not exists (select from sites s where s.key = row_key(g.site))
on conflict (key) do nothing
