-- rollup: day_is_waiting
select exists (select from rollup_pending where day = %(day)s)
    or exists (select from sessions_pending where day = %(day)s)
