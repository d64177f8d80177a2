"""The 1997 paper's criteria on outputs made by hand, sequential construction, and the rules of the verdicts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from carrousel.online.lstm1997.reference import Reference
from carrousel.papers.harness import verdicts
from carrousel.papers.harness.criteria import Predicted, Running, Successive, TestSet, Within, do_legal_lead, only
from carrousel.papers.harness.method import Errors
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.experiments.long_lag_noise_free import make_network
from carrousel.papers.lstm1997.methods.lstm_construction import add_blocks, has_stopped_falling, remove_blocks


def errors(*largest, absolute=None, at_end=None):
    largest = np.array(largest, np.float32)
    absolute = largest / 2 if absolute is None else np.full_like(largest, absolute)
    return Errors(largest, largest if at_end is None else np.array(at_end, np.float32), absolute, absolute**2)


def block(n):
    return Sequences(np.ones(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros((n, 2), bool))


class MadeUp:
    """A method that returns prepared errors and outputs, one a trial, and records which blocks it was given."""

    def __init__(self, *made):
        self.made, self.given = made, []
        self.places = len(made)

    def evaluate(self, blocks):
        self.given.append([b is not None and len(b.lengths) for b in blocks])
        return [None if b is None else made.pop(0) if isinstance(made, list) else made
                for b, made in zip(blocks, self.made)]  # fmt: skip

    outputs = evaluate


def trial(**values):
    return SimpleNamespace(examined=block(3), stage=0, stopped=False, fresh=block, **values)


# ---- criteria -------------------------------------------------------------------------------------------------------


def test_running_takes_the_trainers_word():
    trials = {0: trial(), 2: SimpleNamespace(stopped=True)}
    assert Running(Stop(0.04)).passed(MadeUp(None, None, None), trials) == {2}


def test_within_needs_every_sequence():
    judge = MadeUp(errors(0.1, 0.24), errors(0.1, 0.25), errors(0.1, np.nan), errors(0.0, 0.0))
    assert Within(0.25).passed(judge, {0: trial(), 1: trial(), 2: trial()}) == {0}
    assert judge.given == [[3, 3, 3, False]]


@pytest.mark.parametrize(
    ("criterion", "made", "stage", "passes"),
    [
        (TestSet(), errors(0.1, 0.19, 0.0), 0, True),  # ST1
        (TestSet(), errors(0.1, 0.2, 0.0), 0, False),  # one misclassified
        (TestSet(), errors(0.1, 0.1, 0.1, absolute=0.009), 1, True),  # ST2
        (TestSet(), errors(0.1, 0.1, 0.1, absolute=0.0101), 1, False),
        (TestSet(fewer_than=6, means=(None, 0.04)), errors(*[0.9] * 5, 0.1), 0, True),
        (TestSet(fewer_than=6, means=(None, 0.04)), errors(*[0.9] * 6, 0.1), 0, False),
        (TestSet(fewer_than=6, means=(None, 0.04)), errors(*[0.9] * 6, 0.1, absolute=0.01), 1, False),
        (TestSet(wrong_from=0.1, means=(0.015,)), errors(0.09, 0.0, absolute=0.014), 0, True),
        (TestSet(wrong_from=0.1, means=(0.015,)), errors(0.11, 0.0, absolute=0.014), 0, False),
        (TestSet(), errors(np.nan, 0.0), 0, False),
    ],
    ids=[
        "ST1",
        "ST1 fails",
        "ST2",
        "ST2 fails",
        "3b: 5 wrong",
        "3b: 6 wrong",
        "3b: ST2 needs ST1",
        "3c",
        "3c fails",
        "nan",
    ],
)
def test_test_set(criterion, made, stage, passes):
    waiting = trial()
    waiting.stage, waiting.examined = stage, None
    all_right = made._replace(largest=np.zeros_like(made.largest))
    assert criterion.passed(MadeUp([made, all_right, all_right]), {0: waiting}) == ({0} if passes else set())


@pytest.mark.parametrize("fixed", [False, True])
def test_a_test_set_is_drawn_anew_each_time_or_once(fixed):
    drawn = []

    def fresh(n):
        drawn.append(n)
        return block(n)

    criterion, waiting = TestSet(fixed=fixed), SimpleNamespace(stage=0, fresh=fresh)
    waiting.examined = criterion.examined(waiting)
    for _ in range(2):
        assert criterion.passed(MadeUp(errors(0.1, 0.1)), {0: waiting}) == {0}
    assert drawn == ([256] if fixed else [8, 24, 224, 8, 24, 224])


def test_a_test_set_is_looked_at_in_part_first():
    """What fails on some of it fails on all of it; what passes there is judged on all of it."""
    good, bad = errors(0.1, 0.1), errors(0.1, 0.3)
    judge = MadeUp([good, good, bad], [bad], [good, good, good], [good, bad])
    waiting = {place: trial() for place in range(4)}
    for each in waiting.values():
        each.examined = block(256)
    assert TestSet(fixed=True).passed(judge, waiting) == {2}
    assert judge.given == [[8, 8, 8, 8], [24, False, 24, 24], [224, False, 224, False]]


def test_successive_tries_ten_thousand_and_breaks_off_at_the_first_failure():
    good = errors(0.1, 0.1)
    judge = MadeUp([good] * 20, [good] * 3 + [errors(0.1, 0.21)] + [good] * 16, [])
    criterion = Successive(bound=0.2)
    ready = np.full(1000, 0.1)
    trials = {place: trial(ends=ends) for place, ends in enumerate((ready, ready, np.where(np.arange(1000), 0.1, 0.3)))}
    assert criterion.passed(judge, trials) == {0}
    assert sum(shown[0] for shown in judge.given) == 10_000
    assert sum(shown[1] for shown in judge.given) == 4 * 500
    assert sum(shown[2] for shown in judge.given) == 0


def test_successive_judges_the_end_of_a_sequence():
    ends_well = errors(0.9, 0.9, at_end=[0.1, 0.1])
    assert Successive(bound=0.25).passed(MadeUp(ends_well), {0: trial(ends=np.full(1000, 0.1))}) == {0}


@pytest.mark.parametrize(
    ("outputs", "legal", "leads"),
    [
        ([0.9, 0.1, 0.2], [1, 0, 0], True),
        ([0.1, 0.9, 0.2], [1, 0, 0], False),
        ([0.4, 0.5, 0.3], [1, 1, 0], True),  # both of the possible ones are the two most active
        ([0.4, 0.5, 0.45], [1, 1, 0], False),
        ([0.5, 0.5, 0.1], [1, 0, 0], False),  # a tie is no lead
    ],
    ids=["one", "another", "two", "two, one between", "tie"],
)
def test_legal_symbols_must_lead(outputs, legal, leads):
    right = np.array([[0.9, 0.0, 0.0]])
    assert do_legal_lead(np.vstack([right, [outputs]]), np.array([[1, 0, 0], legal], bool)) is leads


def test_predicted_needs_every_step_of_both_sets():
    right, wrong = np.array([[0.9, 0.1], [0.8, 0.3]]), np.array([[0.9, 0.1], [0.3, 0.8]])
    examined = block(2)._replace(truth=np.array([[1, 0], [1, 0]], bool))
    trials = {place: SimpleNamespace(examined=examined) for place in (0, 1)}
    judge = MadeUp([right, right], [wrong], [right, wrong])
    trials[2] = SimpleNamespace(examined=examined)
    assert Predicted().passed(judge, trials) == {0}


def test_only_leaves_the_other_trials_out():
    assert only(MadeUp(None, None, None), {1: "block"}) == [None, "block", None]


# ---- sequential construction ----------------------------------------------------------------------------------------


def test_a_block_that_is_not_there_changes_nothing_and_learns_nothing():
    net = make_network(p=4)
    weights = remove_blocks(net, net.initial_weights(0))
    alone = Reference(net, weights)
    x = np.eye(5)[[4, 0, 1, 2]]
    for k, symbol in enumerate(x):
        y = alone.step(symbol)
        inputs_only = net.split(weights).output[:, : net.inputs] @ symbol
        assert np.allclose(y, 1 / (1 + np.exp(-inputs_only)), atol=1e-15)
        alone.learn(np.eye(5)[k])
    assert alone.s == pytest.approx(0, abs=1e-300)
    assert (alone.change.hidden == 0).all()
    assert abs(alone.change.output[:, net.inputs :]).max() < 1e-300
    assert abs(alone.change.output[:, : net.inputs]).max() > 0.01


def test_a_block_that_comes_is_drawn_anew_and_keeps_what_was_learned():
    net = make_network(p=4)
    before = net.split(remove_blocks(net, net.initial_weights(0)))
    after = net.split(add_blocks(net, net.join(before), np.random.default_rng(1)))
    assert (after.output[:, :5] == before.output[:, :5]).all()
    assert (abs(after.hidden) <= 0.2).all()
    assert (after.output[:, 5:] != 0).all()


@pytest.mark.parametrize(
    ("made", "stopped"),
    [
        ([1.0] * 199, False),  # too few to say
        ([1.0] * 200, True),
        ([1.0] * 100 + [0.98] * 100, False),
        ([1.0] * 100 + [0.995] * 100, True),
        ([0.5] * 100 + [1.0] * 100 + [0.9] * 100, False),  # only the last two windows count
    ],
    ids=["few", "flat", "falls", "falls less than 1 %", "last windows"],
)
def test_when_an_error_has_stopped_falling(made, stopped):
    assert has_stopped_falling(made) is stopped


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_fisher_and_binomial_by_hand():
    assert verdicts.fisher(1, 2, 2, 2) == pytest.approx(1.0)
    assert verdicts.fisher(0, 3, 3, 3) == pytest.approx(2 / 20)  # C(6, 3) = 20 ways, the two most uneven ones
    assert verdicts.binomial(0, 3, 0.5) == pytest.approx(2 / 8)
    assert verdicts.binomial(1, 2, 0.5) == pytest.approx(1.0)
    assert verdicts.binomial(20_000, 20_010, 0.5) < 1e-300  # no overflow


@pytest.mark.parametrize(
    ("judgement", "good"),
    [
        (verdicts.judge_success(30, 30, 29, 30), True),
        (verdicts.judge_success(29, 30, 30, 30), True),
        (verdicts.judge_success(0, 10, 10, 10), False),
        (verdicts.judge_success(5, 10, 10, 10), False),
        (verdicts.judge_sequences(149.0, 75), True),
        (verdicts.judge_sequences(151.0, 75), False),
        (verdicts.judge_sequences(38.0, 75), True),
        (verdicts.judge_sequences(37.0, 75), False),  # as far from the paper's as 2.03 times as many
        (verdicts.judge_sequences(None, 75), False),
        (verdicts.judge_test(13, 10, 1, 10), True),  # 13 and 10 of the same Poisson count
        (verdicts.judge_test(130, 10, 1, 10), False),
        (verdicts.judge_test(0, 10, 1, 10), True),
        (verdicts.judge_test(0, 0, 1, 10), False),
    ],
)
def test_rules(judgement, good):
    assert judgement.good is good


def test_a_verdict_tells_all_that_is_missed():
    found = [verdicts.judge_success(0, 10, 10, 10), verdicts.judge_sequences(300.0, 100)]
    assert (
        verdicts.join(found) == "missed: solved 0 of 10, paper 10 of 10 (p = 1.1e-05); 3.00 times the paper's sequences"
    )
    assert verdicts.join([verdicts.judge_success(10, 10, 10, 10)]) == "reproduced"
