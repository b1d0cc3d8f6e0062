-- bench: the hits of a day
-- Into its partition, in the order of their time, as they would have come. Whatever is chosen is a hash: `chance` of
-- the session and of what is chosen. What people like follows Zipf's law (`rank`).
insert into stored_hits (
    hit_id, session_id, received_at, day, batch_id, site_id, page_id, title_id, origin_id, client_id, status, is_bot,
    is_me, event, props
)
with drawn as (
    select %(day_number)s::bigint * 1000000 + number as session
    from generate_series(1, %(sessions)s) as number
), sessions as (
    select session,
           s.site_id, s.first_page, s.pages, s.first_missing,
           bench.chance(session, 2) < %(bots)s as is_bot,
           bench.chance(session, 3) < %(owners)s as is_me,
           bench.chance(session, 4) < %(anonymous)s as is_anonymous,
           %(day)s::date::timestamp at time zone 'UTC' as day_starts_at,
           -- Most of it around noon.
           86400 * (bench.chance(session, 5) + 0.6 / (2 * pi()) * sin(2 * pi() * bench.chance(session, 5))) as begins_s,
           case when bench.chance(session, 6) < %(campaigns)s
                    then %(first_campaign)s + bench.rank(bench.chance(session, 7), %(campaign_places)s)
                when bench.chance(session, 6) < %(campaigns)s + %(external)s
                    then 1 + bench.rank(bench.chance(session, 7), %(referrer_places)s)
                else 0 end as origin,
           bench.rank(bench.chance(session, 8), %(countries)s) as country,
           case when bench.chance(session, 9) < %(bounces)s then 1
                else 2 + least(floor(-ln(1 - bench.chance(session, 10)) * 3.476), 60)::int end as length
    from drawn
    join bench.sites s on bench.chance(session, 1) >= s.from_share and bench.chance(session, 1) < s.to_share
), counted as (
    select *, sum(length) over (order by session) - length as hits_before
    from sessions
), made as (
    select c.*, step,
           least(begins_s + step * 40 + 40 * bench.chance(session, 100 + step * 10), 86399.9) as second,
           bench.page_place(session, step, first_page, pages, first_missing, %(missing)s, %(missing_places)s) as page_place,
           bench.page_place(session, step - 1, first_page, pages, first_missing, %(missing)s, %(missing_places)s) as link_place,
           step > 0 and bench.chance(session, 102 + step * 10) < %(events)s as is_event
    from counted c cross join lateral generate_series(0, least(length, %(hits)s - hits_before)::int - 1) as step
    where hits_before < %(hits)s
)
select md5(m.session || ' ' || step)::uuid,
       case when not is_anonymous then md5(m.session || '')::uuid end,
       day_starts_at + make_interval(secs => second),
       %(day)s::date,
       %(first_batch)s + (row_number() over (order by second, m.session, step) / %(hits_a_batch)s)::int,
       site_id,
       p.page_id,
       case when bench.chance(m.session, 103 + step * 10) < %(without_title)s then 0
            when %(is_late)s then p.later_title_id else p.title_id end,
       coalesce(o.origin_id, l.link_origin_id),
       c.client_id,
       case when p.is_missing then 404 else 0 end,
       is_bot,
       is_me and not is_bot,
       case when is_event then e.event end,
       case when is_event then e.props end
from made m
join bench.pages p on p.place = m.page_place
left join bench.origins o on o.place = m.origin and step = 0
left join bench.pages l on l.place = m.link_place and step > 0
join bench.clients c on c.place = case
    when is_bot
        then %(first_bot)s + bench.rank(bench.chance(m.session, 11), %(bot_places)s) * %(bot_countries)s + country %% %(bot_countries)s
    else country * %(looks)s + bench.rank(bench.chance(m.session, 11), %(looks)s)
end
left join bench.events e on is_event and e.place = floor(bench.chance(m.session, 104 + step * 10) * %(event_places)s)
order by second, m.session, step
