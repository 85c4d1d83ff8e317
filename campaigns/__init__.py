"""Batch outbound campaigns for Retell AI voice agents."""

import zoneinfo

# Stale time-zone data makes calls an hour off, and `zoneinfo` prefers the system's. The packaged data wins, in every
# process: whatever part of the program one runs, it imports this first. What was read before is forgotten.
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()
