"""The `campaigns` command: one file per group of commands, thin over the services."""
