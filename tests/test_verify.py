"""fastconv verify: what it draws, and that it tells what is wrong."""
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from fastconv.algorithms import CONVOLUTION
from fastconv.cli import verify, verify_pooling, verify_streams
from fastconv.kernels import isa
from fastconv.problem import convolution_problem

DIRECT = CONVOLUTION[-1]


def test_a_seed_draws_the_same_problems_again_and_another_one_others():
    for draw in (lambda seed: verify.problems("conv2d", 9, seed), lambda seed: verify_pooling.problems(9, seed)):
        first, same, other = (list(draw(seed)) for seed in (7, 7, 0))
        assert first == same != other


def test_no_drawn_problem_has_an_empty_result():
    """Calls answer those without a plan. Of 300 draws with this seed some crop all of an image."""
    random = Random(verify_streams.source("pad", 5))
    assert all(0 not in verify_streams.drawn("pad", random, "f32")[0].output_shape for _ in range(300))
    random = Random(verify_streams.source("pad", 5))
    assert any(0 in shape for shape in pad_shapes(random, 300))


def pad_shapes(random, n):
    for _ in range(n):
        try:
            yield verify_streams.draw_pad("pad", random, "f32")[0].output_shape
        except ValueError:
            continue


@pytest.fixture
def case():
    problem = convolution_problem("conv2d", (1, 16, 40, 40), (16, 16, 3, 3), "f32", padding=1)
    return verify.Case(problem, False, np.random.default_rng(0))


def run(case) -> verify.Record:
    record = verify.Record()
    case.run(DIRECT, isa, "f32", False, False, record)
    return record


def test_right_results_pass(case):
    record = run(case)
    assert record.cases == 1 and not record.failures and 0 < record.share < 1


def test_bits_that_depend_on_threads_are_told(case, monkeypatch):
    compute = verify.execute
    monkeypatch.setattr(verify.config, "get_num_threads", lambda: 2)
    monkeypatch.setattr(verify, "execute", lambda plan, *rest: compute(plan, *rest) * np.float32(1 + plan.threads * 2e-7))
    (failure,) = run(case).failures
    assert failure.startswith("2 threads find other bits than one")


def test_wrong_results_are_told(case, monkeypatch):
    compute = verify.execute
    monkeypatch.setattr(verify, "execute", lambda plan, *rest: compute(plan, *rest) + np.float32(0.01))
    assert any(text.startswith("error") for text in run(case).failures)
    exact = verify.Case(replace(case.problem), True, np.random.default_rng(0))
    assert any("integers are wrong" in text for text in run(exact).failures)
