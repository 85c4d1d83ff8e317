"""`python -m tests.benchmarks.posts URL COUNT THREADS`: a loop of bare httpx POSTs. The peer of the dial worker."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time

import httpx

from tests.benchmarks.cycle import bodies
from tests.benchmarks.stage import KEY


def main(url: str, count: int, threads: int) -> None:
    todo = iter(list(bodies(0, count)))
    lock = threading.Lock()
    failed = itertools.count()
    limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
    headers = {"Authorization": f"Bearer {KEY}"}

    def work(client: httpx.Client) -> None:
        while True:
            with lock:
                body = next(todo, None)
            if body is None:
                return
            if client.post("/v2/create-phone-call", json=body).status_code != 201:
                next(failed)

    with httpx.Client(base_url=url, headers=headers, limits=limits, trust_env=False, timeout=30) as client:
        cpu, wall = time.process_time(), time.perf_counter()
        workers = [threading.Thread(target=work, args=(client,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    answer = {
        "posts": count,
        "failed": next(failed),
        "per_second": round(count / wall, 1),
        "cpu_ms_per_post": round(cpu * 1000 / count, 3),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
