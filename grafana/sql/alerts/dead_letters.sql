-- alerts/dead_letters.sql: why hits of the last hour became dead letters. Those that came too late are the retention at work.
select count(*) as reasons
from daily_ledger_reasons
where outcome = 'dead-lettered' and reason <> 'too-late' and newest_at > now() - interval '1 hour'
