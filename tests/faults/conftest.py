"""Campaigns that mostly wait run side by side: all that the chosen tests will judge start with the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.rig import Seen

Scene = Callable[[Path], Seen]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scene(of): what the test judges; runs beside the other scenes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are dealt out to processes, those of the scenes go to one."""
    for item in items:
        if item.get_closest_marker("scene") is not None:
            item.add_marker(pytest.mark.xdist_group("scenes"))


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Seen]]]:
    """The scenes of the chosen tests, all at once."""
    chosen: dict[str, Scene] = {}
    for item in request.session.items:
        marker = item.get_closest_marker("scene")
        if marker is not None:
            chosen[item.name] = marker.kwargs["of"]
    with ThreadPoolExecutor(max(1, len(chosen))) as pool:
        yield {
            name: pool.submit(scene, tmp_path_factory.mktemp(scene.__name__))
            for name, scene in chosen.items()
        }


@pytest.fixture
def seen(running: dict[str, Future[Seen]], request: pytest.FixtureRequest) -> Seen:
    """What the scene of this test came to."""
    return running[request.node.name].result()
