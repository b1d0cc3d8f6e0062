"""The alert rules. A new one is its SQL, a few lines here, and a row in docs/signs.md, "Alerts"."""

from grafana.alerts import Alert

ALERTS = (
    Alert(
        uid="footfall-ledger",
        title="The ledger does not close",
        dashboard="pipeline",
        sql="ledger.sql",
        figures=("differences",),
        lasts="5m",
        severity="critical",
        summary="The ledger of a site's day does not close. Run `make check`, which says where and what to do.",
    ),
    Alert(
        uid="footfall-lost",
        title="Redis has lost hits",
        dashboard="pipeline",
        sql="lost.sql",
        figures=("hits",),
        lasts="1m",
        severity="critical",
        summary="{{ .Values.hits }} hits (or groups of them) that were durable are neither processed nor on the "
        "stream. Look at Redis's disk and log, and run `make check`.",
    ),
    Alert(
        uid="footfall-stopped",
        title="An enricher has stopped, too many dead letters",
        dashboard="pipeline",
        sql="stopped.sql",
        figures=("enrichers",),
        severity="critical",
        summary="Hits wait on the stream, because too many would become dead letters. "
        "Its log says why; mend it and restart the enricher.",
    ),
    Alert(
        uid="footfall-dead-letters",
        title="Hits become dead letters",
        dashboard="pipeline",
        sql="dead_letters.sql",
        figures=("reasons",),
        severity="warning",
        summary="Hits of the last hour could not become rows. `make dead-letters` lists them; "
        "docs/operating.md says what each reason means.",
    ),
    Alert(
        uid="footfall-silent",
        title="No enricher looks at the stream",
        dashboard="pipeline",
        sql="no_look.sql",
        figures=("silent",),
        lasts="5m",
        severity="critical",
        summary="No enricher has looked at the stream for a minute. Hits are kept and wait. "
        "Is it running, and Redis?",
    ),
    Alert(
        uid="footfall-backlog",
        title="Hits wait on the stream",
        dashboard="pipeline",
        sql="backlog.sql",
        figures=("seconds",),
        above=300,
        severity="warning",
        summary="The oldest hit on the stream has waited {{ .Values.seconds }} s. Hits are kept, and counted later. "
        "Is the enricher slow, or PostgreSQL?",
    ),
    Alert(
        uid="footfall-gap",
        title="No pixel takes hits",
        dashboard="pipeline",
        sql="gap.sql",
        figures=("seconds",),
        severity="critical",
        summary="No pixel has given a sign of life for {{ .Values.seconds }} s: whoever reads now is not counted. "
        "Is the pixel running, does it reach Redis, is there room on the spool's disk?",
    ),
    Alert(
        uid="footfall-rollup-lag",
        title="The figures are behind",
        dashboard="pipeline",
        sql="rollup_lag.sql",
        figures=("seconds",),
        above=60,
        lasts="5m",
        severity="warning",
        summary="Stored hits have waited {{ .Values.seconds }} s to be counted: dashboards are that much behind. "
        "Look at the jobs on the dashboard Pipeline.",
    ),
    Alert(
        uid="footfall-no-hits",
        title="A site has no pageviews",
        dashboard="overview",
        sql="no_hits.sql",
        labels=("site",),
        figures=("minutes", "usual"),
        lasts="5m",
        severity="critical",
        summary="{{ .Labels.site }} has had no pageview for {{ .Values.minutes }} minutes; {{ .Values.usual }} are "
        "usual in that time. Is the site up, is the tag on its pages, does the pixel answer?",
    ),
    Alert(
        uid="footfall-spike",
        title="A site is read much more than usual",
        dashboard="overview",
        sql="spike.sql",
        labels=("site", "source", "channel"),
        figures=("pageviews", "usual"),
        severity="info",
        summary='{{ if or (eq .Labels.channel "News") (eq .Labels.channel "Social") '
        '(eq .Labels.channel "Referral") }}You are on {{ .Labels.source }}: '
        "{{ else }}More than usual from {{ .Labels.source }}: {{ end }}{{ .Labels.site }} has "
        "{{ .Values.pageviews }} pageviews within an hour, usually {{ .Values.usual }}.",
    ),
    Alert(
        uid="footfall-missing",
        title="Many pageviews of missing pages",
        dashboard="missing",
        sql="missing.sql",
        labels=("site", "page", "referrer"),
        figures=("pageviews", "usual"),
        severity="warning",
        summary="{{ .Labels.site }} has {{ .Values.pageviews }} pageviews of missing pages today, usually "
        "{{ .Values.usual }} a day. Most ask for {{ .Labels.page }}, sent by {{ .Labels.referrer }}.",
    ),
)
