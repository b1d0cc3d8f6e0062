-- rollup: thin_disk_looks
-- Of a day that is over for a week the first look stays.
delete from disk_looks d
where d.looked_at < now() - interval '7 days'
  and exists (
      select from disk_looks earlier
      where earlier.looked_at < d.looked_at and earlier.looked_at >= date_trunc('day', d.looked_at, 'UTC')
  )
