-- Dead letters that are dropped or stopped, and a ledger for people: what is pending, and which groups are lost.

-- Dead letters ----------------------------------------------------------------------------------------------------

alter table dead_letters add column dropped_at timestamptz;
comment on column dead_letters.dropped_at is 'When somebody emptied it (`make dead-letters DROP=…`); NULL: nobody did. Its number stays, for the ledger.';
comment on column dead_letters.hit is 'The hit without address and User-Agent; NULL where it could not be read, where it came too late (reason too-late: it may not be kept), and where the letter was dropped or has grown older than RETENTION_DAYS.';
comment on column dead_letters.reason is 'Why, as a fixed word: url, enrich, row, deliveries, seal, hits, counts, limits, empty, version, not-a-group, too-late.';

create table enricher_stops (
    consumer text primary key,
    stopped_at timestamptz not null default clock_timestamp(),
    tried_at timestamptz not null default clock_timestamp(),
    letters integer not null,
    hits integer not null,
    reasons text not null
);
comment on table enricher_stops is 'Enrichers that have stopped because more than MAX_DEAD_LETTER_PERCENT of the hits would become dead letters. Empty: none has.';
comment on column enricher_stops.consumer is 'Name of the enricher (setting CONSUMER_NAME).';
comment on column enricher_stops.stopped_at is 'When it stopped.';
comment on column enricher_stops.tried_at is 'When it last tried to go on; grown old: the enricher itself is gone.';
comment on column enricher_stops.letters is 'Hits that would be dead letters.';
comment on column enricher_stops.hits is 'Of how many.';
comment on column enricher_stops.reasons is 'Why, as fixed words.';
grant select on enricher_stops to grafana_reader, grafana_explorer, analyst;
