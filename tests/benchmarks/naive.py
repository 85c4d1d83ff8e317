"""The script a user would write first: asyncio, a semaphore, get-call every second. The runner's peer in the bench."""

from __future__ import annotations

import asyncio
import csv
import sys

import httpx


async def one(client: httpx.AsyncClient, slots: asyncio.Semaphore, phone: str) -> None:
    async with slots:
        answer = await client.post(
            "/v2/create-phone-call", json={"from_number": "+14155550100", "to_number": phone}
        )
        answer.raise_for_status()
        call_id = answer.json()["call_id"]
        while True:
            await asyncio.sleep(1)
            call = (await client.get(f"/v2/get-call/{call_id}")).json()
            if call["call_status"] in ("ended", "error", "not_connected"):
                break


async def main(path: str, url: str, concurrency: int) -> None:
    with open(path, newline="") as file:  # noqa: PTH123 - as a user would write it
        phones = [row["phone_number"] for row in csv.DictReader(file)]
    slots = asyncio.Semaphore(concurrency)
    headers = {"Authorization": "Bearer key_bench"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        await asyncio.gather(*(one(client, slots, phone) for phone in phones))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
