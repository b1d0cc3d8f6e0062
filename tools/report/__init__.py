"""`make report`: the figures of a range in the terminal, as JSON, as a page, as a mail, or posted to a webhook."""
