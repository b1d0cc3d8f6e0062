"""Grafana's part: what it is provisioned with, and the small builder that writes the dashboards."""
