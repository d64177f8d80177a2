"""What all tests share: `--quick` and `--all`, the markers, hypothesis profiles, seeds and threads.

`@pytest.mark.grid(cell=[...], size={...})` gives a test one argument for each axis. By default it runs few
combinations, chosen so that every two choices meet at least once; with `--all`, every combination.
`@pytest.mark.full` is a test that runs with `--all` only, `@pytest.mark.slow` one that `make test` leaves out: it
starts processes or compilers, or trains. With `--quick` there are no slow tests, every choice of a grid comes up once,
and of any test there are at most three cases.
"""

from __future__ import annotations

import collections
import itertools
import os

import hypothesis
import pytest
import torch
from separate_process import separately  # noqa: F401 - a fixture

# The tests' tensors are too small to share out; tests about threads ask for more themselves.
THREADS = 1

# The same examples on each run, so that a red run is red again; `--all` draws new ones and prints how to repeat them.
hypothesis.settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("all", max_examples=400, deadline=None, print_blob=True, database=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="under a minute: no slow tests, each choice of a grid once")
    parser.addoption("--wheel", metavar="FILE", help="the wheel that tests/house/test_wheel.py installs")
    parser.addoption("--all", action="store_true", help="the full grid of every test, instead of all pairs of choices")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "grid(**axes): an argument for each axis; all pairs, or with --all everything")
    config.addinivalue_line("markers", "full: runs with --all only")
    config.addinivalue_line("markers", "slow: does not run with --quick, nor in make test")
    if not config.getoption("--hypothesis-profile", None):
        hypothesis.settings.load_profile("all" if config.getoption("--all") else "quick")
    torch.set_num_threads(THREADS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [*["full"] * (not config.getoption("--all")), *["slow"] * config.getoption("--quick")]
    chosen = [item for item in items if not any(map(item.get_closest_marker, left_out))]
    if config.getoption("--quick"):
        chosen = thin_out(chosen, 3)
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen


def thin_out(items: list[pytest.Item], most: int) -> list[pytest.Item]:
    """At most so many cases of each test, spread evenly over all of them."""
    cases = collections.defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    return [case for each in cases.values() for case in each[:: -(-len(each) // most)]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for marker in metafunc.definition.iter_markers("grid"):
        axes = [named(choices) for choices in marker.kwargs.values()]
        option = metafunc.config.getoption
        choose = itertools.product if option("--all") else each_once if option("--quick") else all_pairs
        cases = list(choose(*axes))
        values = [[axis[name] for axis, name in zip(axes, case, strict=True)] for case in cases]
        metafunc.parametrize(list(marker.kwargs), values, ids=["-".join(case) for case in cases])


def named(choices):
    """The choices of an axis by name: a dict as it is, anything else by what it prints."""
    return choices if isinstance(choices, dict) else {str(choice): choice for choice in choices}


def each_once(*axes):
    """As few combinations as the longest axis has choices, in which every choice comes up."""
    axes = [list(axis) for axis in axes]
    return [tuple(axis[k % len(axis)] for axis in axes) for k in range(max(map(len, axes)))]


def all_pairs(*axes):
    """Few combinations in which every two choices of different axes meet: greedy, and always the same ones."""
    axes = [list(axis) for axis in axes]
    if len(axes) == 1:
        return [(choice,) for choice in axes[0]]
    places = list(itertools.combinations(range(len(axes)), 2))
    missing = {(i, j, a, b): None for i, j in places for a in axes[i] for b in axes[j]}  # a dict keeps its order
    cases = []
    while missing:
        i, j, a, b = next(iter(missing))
        case = {i: a, j: b}
        for k in (k for k in range(len(axes)) if k not in case):
            case[k] = max(axes[k], key=lambda choice, k=k: sum(pair in missing for pair in pairs({**case, k: choice})))
        for pair in pairs(case):
            missing.pop(pair, None)
        cases.append(tuple(case[k] for k in range(len(axes))))
    return cases


def pairs(case):
    """The pairs (axis, axis, choice, choice) of a combination, which may be incomplete."""
    return [(i, j, case[i], case[j]) for i, j in itertools.combinations(sorted(case), 2)]


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    """What the tests compile does not go among the user's own files; processes that share the tests share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARROUSEL_CACHE", str(folder / "cache"))
        yield


@pytest.fixture(autouse=True)
def same_start():
    """Each test starts from one seed, dtype and number of threads, and leaves them as they were."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
