"""The numbers that we publish, and the page that shows them. Loads no model: it counts records, so all can recount."""
