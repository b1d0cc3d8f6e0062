-- rollup: read_again
-- A day to which hits came that newer rules have not read is to be read by them again.
delete from renormalised r
using (select distinct site from pg_temp.moving join sites using (site_id)) as m
where r.site = m.site and r.day = %(to_day)s
  and not exists (select from renormalised f where f.site = m.site and f.day = %(day)s and f.rules >= r.rules)
