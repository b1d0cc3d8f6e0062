-- A database as the first such system wrote it: its table, and a few hits of a winter's day in Madrid.
create table events (
    id integer primary key,
    date timestamp not null,
    url text not null,
    title text,
    session_id text,
    country text,
    host text,
    path text,
    query text,
    referrer text,
    normalised_referrer text,
    is_bot boolean not null default 0,
    is_me boolean not null default 0
);
insert into events values
    (1, '2026-01-31 23:59:58.120000', 'https://blog.example/snow/', 'Snow', 'aa11', 'ES', 'blog.example', '/snow/', '', 'https://www.google.com/', 'Google', 0, 0),
    (2, '2026-02-01 00:00:03', 'https://blog.example/snow/?utm_source=letter&token=secret', 'Snow', 'aa11', 'ES', 'blog.example', '/snow/', 'utm_source=letter&token=secret', '', '', 0, 0),
    (3, '2026-02-01 09:12:44', '/about', 'About', 'bb22', 'Germany', 'blog.example', '/about', '', 'https://news.ycombinator.com/item?id=1', 'Hacker News', 0, 0),
    (4, '2026-02-01 09:13:00', 'https://blog.example/about', 'About', 'cc33', 'US', 'blog.example', '/about', '', '', '', 1, 0),
    (5, '2026-02-01 10:00:00', 'https://blog.example/', 'Home', 'dd44', '', 'blog.example', '/', '', '', '', 0, 1),
    (6, '2026-02-01 10:00:01', 'https://blog.example/', 'Home', null, 'FRA', 'blog.example', '/', '', '', '', 0, 0),
    (7, 'yesterday', 'https://blog.example/', 'Home', 'ee55', 'ES', 'blog.example', '/', '', '', '', 0, 0),
    (8, '2026-02-01 11:00:00', 'http://localhost:8000/draft', 'Draft', 'ff66', '', 'localhost', '/draft', '', '', '', 0, 0);
