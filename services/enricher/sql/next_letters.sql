-- enricher: next_letters
select site, day, dead_letter_id, hit
from dead_letters
where hit is not null and (site, day, dead_letter_id) > (%(site)s, %(day)s, %(dead_letter_id)s)
  and (%(reason)s::text is null or reason = %(reason)s)
  and (%(id)s::uuid is null or dead_letter_id = %(id)s)
order by site, day, dead_letter_id
limit %(letters)s
