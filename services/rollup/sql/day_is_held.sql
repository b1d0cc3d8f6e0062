-- rollup: day_is_held
-- Whether an import keeps a day beyond the retention open.
select exists (
    select from imports
    where %(day)s = any(days) and began_at > now() - %(holds)s and import_id is distinct from %(of_import)s::uuid
)
