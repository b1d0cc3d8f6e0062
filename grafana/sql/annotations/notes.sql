-- annotations/notes.sql: deploys, changed rules and the owner's notes that touch the range.
-- Grafana shows the text as HTML. Without an end it is a moment, and timeend is NULL.
select begins_at as time, ends_at as timeend,
       replace(replace(replace(text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;') as text,
       kind as tags
from annotations
where begins_at <= $__timeTo()::timestamptz and coalesce(ends_at, begins_at) >= $__timeFrom()::timestamptz
  and ('__all__' in ($site) or site is null or site in ($site))
order by begins_at, annotation_id
