"""The version of Footfall, as `/version` and each service's metrics say it."""

VERSION = "0.1.0"
