"""Two threads on one Learner or one Trainer: the second gets an error, nothing is damaged, and no lock stays held."""

from __future__ import annotations

import copy
import gc
import pickle
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

from carrousel.fused import kernels
from carrousel.online import Learner, Network
from carrousel.online.lstm1997 import engine as module
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.lstm1997.native_trials import NativeTrials

NETWORK = Network(8, 8, 3, 2, biased="all", weight_range=0.5)
IN_USE = r"^this Learner is in use by another thread; use one Learner per thread$"
compiled_only = pytest.mark.skipif(kernels.LSTM1997 is None, reason="the compiled kernels are not built")


@pytest.fixture(params=["compiled", "reference"])
def backend(request, monkeypatch):
    """The compiled network, or the reference in its place."""
    if request.param == "reference":
        monkeypatch.setattr(module, "LSTM1997", None)
    elif kernels.LSTM1997 is None:
        pytest.skip("the compiled kernels are not built")
    return request.param


def long_stream(backend):
    """Inputs [T, I] that keep a Learner busy for about a second."""
    return np.random.default_rng(1).random((200_000 if backend == "compiled" else 3000, 8), np.float32) - 0.5


def in_thread(call, *arguments) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


X = np.linspace(-1, 1, 8)
CALLS = {
    "predict_one": lambda learner, path: learner.predict_one(X),
    "learn_one": lambda learner, path: learner.learn_one(X, 3),
    "learn_many": lambda learner, path: learner.learn_many([X, X], [0, 1]),
    "reset": lambda learner, path: learner.reset(),
    "weights": lambda learner, path: learner.weights,
    "set weights": lambda learner, path: setattr(learner, "weights", np.zeros(NETWORK.weight_count)),
    "states": lambda learner, path: learner.states,
    "activations": lambda learner, path: learner.activations,
    "save": lambda learner, path: learner.save(path),
    "copy": lambda learner, path: copy.copy(learner),
    "deepcopy": lambda learner, path: copy.deepcopy(learner),
    "pickle": lambda learner, path: pickle.dumps(learner),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # the reference's, at the end of so long a stream
def test_every_method_is_refused_while_another_thread_learns(backend, tmp_path):
    x = long_stream(backend)
    learner, twin = Learner(NETWORK, 0.001, seed=2), Learner(NETWORK, 0.001, seed=2)
    thread = in_thread(learner.learn_many, x, x)
    while not learner._lock.locked():
        assert thread.is_alive()
    for call in CALLS.values():
        with pytest.raises(RuntimeError, match=IN_USE):
            call(learner, tmp_path / "learner")
    assert thread.is_alive(), "every call must have met it"
    thread.join()
    twin.learn_many(x, x)
    assert learner.steps == twin.steps == len(x)
    assert (learner.weights == twin.weights).all()
    assert (learner.states == twin.states).all()
    assert not (tmp_path / "learner").exists()
    for call in CALLS.values():
        call(learner, tmp_path / "learner")


def test_the_other_thread_is_refused_too(backend):
    """`learn_many` on both: it ended in "double free or corruption"."""
    x, met, started = long_stream(backend), [], threading.Barrier(4)
    learner = Learner(NETWORK, 0.001)

    def learn():
        started.wait()
        try:
            learner.learn_many(x, x)
        except RuntimeError as error:
            met.append(str(error))

    for thread in [in_thread(learn) for _ in range(4)]:
        thread.join()
    assert learner.steps == len(x) * (4 - len(met))
    assert set(met) == {"this Learner is in use by another thread; use one Learner per thread"}


def test_predictions_of_threads_that_meet_are_never_mixed_up(backend):
    """Each thread has an input of its own: who is let in gets the prediction for it."""
    learner, twin = Learner(NETWORK, 0.1), Learner(NETWORK, 0.1)
    wrong, right, started = [], [], threading.Barrier(8)

    def predict(symbol):
        expected = twin_says[symbol]
        started.wait()
        for _ in range(3000 if backend == "compiled" else 300):
            try:
                (right if (learner.predict_one(symbol) == expected).all() else wrong).append(symbol)
            except RuntimeError:
                continue

    twin_says = [twin.predict_one(symbol) for symbol in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in [in_thread(predict, symbol) for symbol in range(8)]:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert right
    assert not wrong


@pytest.fixture
def no_garbage_collection():
    """Python cannot raise what interrupts a callback of the collector, such as hypothesis installs: it is lost."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", ["predict_one", "learn_one", "learn_many", "weights", "deepcopy"])
def test_no_interruption_leaves_it_in_use(backend, name, tmp_path, no_garbage_collection):
    """A signal's handler raises KeyboardInterrupt at a random moment of the call, some hundred times."""
    learner = Learner(NETWORK, 0.1)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(300):
            end = time.monotonic() + 10
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-5, 3e-4))
                while time.monotonic() < end:
                    CALLS[name](learner, tmp_path)
                pytest.fail(f"an interruption was lost, seed {seed}")
            except KeyboardInterrupt:
                pass
            assert not learner._lock.locked(), f"seed {seed}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    learner.learn_one(X, 3)


def test_an_error_does_not_leave_it_in_use(backend):
    learner = Learner(NETWORK, 0.1)
    for call in (learner.predict_one, learner.learn_one, learner.learn_many):
        with pytest.raises(ValueError, match="x has shape"):
            call([1.0])
    learner.learn_one(X, 3)


# ---- Trainer --------------------------------------------------------------------------------------------------------

BLOCK = Sequences(np.full(4000, 20), np.random.default_rng(0).integers(0, 8, 80_000), np.zeros(4000, int))
TRAINER_CALLS = {
    "train": lambda trainer: trainer.train([BLOCK.part(0, 1)] * 2),
    "evaluate": lambda trainer: trainer.evaluate([BLOCK.part(0, 1)] * 2),
    "outputs": lambda trainer: trainer.outputs([BLOCK.part(0, 1)] * 2),
    "begin": lambda trainer: trainer.begin(0, NETWORK.initial_weights(1)),
    "set weights": lambda trainer: setattr(trainer, "weights", np.zeros((2, NETWORK.weight_count))),
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@compiled_only
def test_a_trainer_is_refused_while_another_thread_trains():
    trainer, twin = (NativeTrials(NETWORK, [NETWORK.initial_weights(k) for k in range(2)], 0.1) for _ in range(2))
    thread = in_thread(trainer.train, [BLOCK] * 2)
    while not trainer._lock.locked():
        assert thread.is_alive()
    for call in TRAINER_CALLS.values():
        with pytest.raises(
            RuntimeError, match=r"^this NativeTrials is in use by another thread; use one NativeTrials per thread$"
        ):
            call(trainer)
    assert thread.is_alive()
    thread.join()
    twin.train([BLOCK] * 2)
    assert (trainer.weights == twin.weights).all()
    other = pickle.loads(pickle.dumps(trainer))
    other.train([BLOCK] * 2)
    assert (trainer.weights == twin.weights).all(), "a copy goes its own way"
    for call in TRAINER_CALLS.values():
        call(trainer)
