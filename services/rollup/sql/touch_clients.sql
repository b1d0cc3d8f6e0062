-- rollup: touch_clients
insert into touched_clients
select day, site_id, client_id, is_bot, case when has_several then session_id end, bool_or(is_pageview), sum(new_hits),
       sum(pageviews), sum(visitors), sum(anonymous_pageviews), sum(bot_hits), sum(owner_hits)
from (
    select day, site_id, session_id, client_id, is_bot,
           bool_or(is_pageview) as is_pageview,
           count(*) filter (where is_new) as new_hits,
           count(*) filter (where is_new and is_pageview) as pageviews,
           coalesce(session_id is not null and bool_and(is_new) filter (where is_pageview), false)::int as visitors,
           count(*) filter (where is_new and is_pageview and session_id is null) as anonymous_pageviews,
           count(*) filter (where is_new and is_bot) as bot_hits,
           count(*) filter (where is_new and is_me) as owner_hits,
           session_id is not null and count(*) over (partition by day, site_id, session_id) > 1 as has_several
    from touched
    group by day, site_id, session_id, client_id, is_bot
) as sessions
group by day, site_id, client_id, is_bot, case when has_several then session_id end
