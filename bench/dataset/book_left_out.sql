-- bench: book what the pixel left out on a day
insert into ledger_left_out (site, day, outcome, reason, hits)
select l.site, l.day, r.outcome, r.reason, 1 + l.accepted / r.one_in
from ledger l
cross join (values
    ('excluded', 'prefetch', 50), ('excluded', 'local-host', 200), ('refused', 'rate-limit', 1000)
) as r (outcome, reason, one_in)
where l.day = %(day)s
