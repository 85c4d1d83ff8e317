"""How long after `campaigns pause` the last dial leaves."""

from __future__ import annotations

import time

from tests.benchmarks import stage
from tests.benchmarks.figure import Figure, at_most, say
from tests.faults.rig import rig, write_leads

#: Seconds for which dials are looked for after the command has returned.
_WATCHED = 4.0


def pause(quick: bool) -> Figure:
    rounds, lines = (1, 8) if quick else (4, 20)
    simulator = ["--mean-call", "1", "--concurrency", str(lines), "--seed", "9"]
    lates: list[float] = []
    commands: list[float] = []
    rates: list[float] = []
    with stage.folder() as where, rig(where, simulator) as subject:
        write_leads(subject.leads, 2600)
        for number in range(rounds):
            subject.start("--concurrency", str(lines))
            subject.until_rings(subject.rings() + 4 * lines)
            command = ("pause", "--all") if number % 2 else ("pause", "chaos")
            asked = time.time()
            said = subject.command(*command)
            returned = time.time()
            if said.returncode:
                raise stage.BenchError(f"{' '.join(command)} ended with {said.returncode}: {said.stderr}")
            time.sleep(_WATCHED)
            rang = subject.rang()
            lates.append(max(rang) - returned)
            commands.append(returned - asked)
            rates.append(sum(asked - 2 < at <= asked for at in rang) / 2)
            say(f"pause: {' '.join(command)}: last dial {lates[-1]:+.2f} s from the command's return")
            subject.wait(60)
        ledger = subject.ledger()
    worst = max(0.0, *lates)
    return Figure(
        "pause",
        round(worst, 3),
        "s from the return of the command to the last dial, the worst; 0 = none after it",
        [at_most("value", worst, 1.0)],
        {
            "what": "dials a second before the pause, and how long the command took, the worst",
            "dials_per_second": round(min(rates), 1),
            "command_s": round(max(commands), 2),
        },
        {
            "last_dial_s": [round(late, 2) for late in lates],
            "attempts_rung_twice": ledger["attempts_rung_twice"],
            "lines": lines,
        },
    )
