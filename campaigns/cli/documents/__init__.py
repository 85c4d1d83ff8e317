"""What every `--json` says: one model per document, in a file per group of commands.

Instants are ISO 8601 in UTC with a Z, costs are US cents, durations are seconds. What is not known is null; only a
field that has a default here may be left out. `docs/cli.md` is made from them; a test holds both to it.

A command imports the file of its own group: building all models takes longer than most commands.
"""
