"""Blocks are shared among threads: what is computed does not depend on how many there are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

import losslang
from losslang.runtime import block_sizes
from losslang.runtime.blocks import team
from losslang.runtime.blocks.team import each
from tests._executors import ways

CPU = torch.device("cpu")
TOKENS = (3, 4, 1400, 512)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "text",
    [
        "0.5*bce(sigmoid) + dice(smooth=1)",
        "0.5*bce(sigmoid, mask=batch.mask) + dice(mask=batch.mask)",
        "ce + dice",
        "huber + l1",
        "mse(weight=batch.weight)",
        "focal(softmax)",
    ],
)
def test_the_number_of_threads_decides_no_bit(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("losslang.runtime.block_sizes.MIN_ELEMENTS_AUTOGRAD", 2**20)
    torch.manual_seed(0)
    pred = torch.randn(TOKENS, requires_grad=True)
    places = (TOKENS[0], *TOKENS[2:])
    by_label = text.startswith("ce") or "softmax" in text
    target = torch.randint(4, places) if by_label else (torch.rand(TOKENS) > 0.5).float()
    masks = {"mask": torch.rand(places) > 0.1, "weight": torch.rand(TOKENS)}
    batch = {name: value for name, value in masks.items() if name in text}
    assert "in blocks" in ways(text, pred, target, **batch)
    loss = losslang.compile(text)
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for threads in (2, 1, 3, 2):
        torch.set_num_threads(threads)
        value = loss(pred, target, **batch)
        found.append((value.detach(), torch.autograd.grad(value, pred)[0]))
    for value, gradient in found[1:]:
        assert torch.equal(value, found[0][0])
        assert torch.equal(gradient, found[0][1])


MANY = [()] * team.FEWEST


def test_few_blocks_are_computed_by_the_caller_with_all_threads_of_torch():
    found = each(lambda: (threading.get_ident(), torch.get_num_threads()), MANY[1:], CPU)
    assert set(found) == {(threading.get_ident(), 2)}


def test_every_thread_computes_and_torch_is_alone_in_it():
    there = threading.Barrier(2, timeout=60)

    def seen() -> tuple[int, int]:
        there.wait()
        return threading.get_ident(), torch.get_num_threads()

    found = each(seen, MANY, CPU)
    assert {number for _, number in found} == {1}
    assert len({thread for thread, _ in found}) == 2
    assert torch.get_num_threads() == 2


def test_threads_to_come_have_the_number_of_before():
    each(int, MANY, CPU)
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_what_is_found_is_in_order():
    def late(place: int) -> int:
        time.sleep(0.002 * (place % 3))
        return place

    assert each(late, [(place,) for place in range(20)], CPU) == list(range(20))


def test_the_first_error_is_raised_and_the_rest_is_left():
    done: list[int] = []

    def refuse(place: int) -> None:
        done.append(place)
        if place >= 3:
            # The later of two that run side by side is refused first.
            time.sleep(0.05 if place == 3 else 0.0)
            raise ValueError(f"block {place}")

    with pytest.raises(ValueError, match="block 3"):
        each(refuse, [(place,) for place in range(100)], CPU)
    assert len(done) <= 6


def test_an_interrupt_waits_for_what_runs(monkeypatch: pytest.MonkeyPatch):
    """As Ctrl-C, which reaches the thread that waits: no tensor is written to once it has gone on."""
    running, done = threading.Event(), list[int]()
    each(int, MANY, CPU)

    class Interrupted(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 1:
                running.wait(60)
                raise KeyboardInterrupt
            return super().wait(timeout)

    def slow(place: int) -> None:
        running.set()
        time.sleep(0.05)
        done.append(place)

    monkeypatch.setattr(team.threading, "Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        each(slow, [(place,) for place in range(100)], CPU)
    finished = len(done)
    time.sleep(0.2)
    assert len(done) == finished <= 4


AFTER_THE_MAIN_THREAD = """
import atexit, threading, time
import torch, losslang
torch.set_num_threads(2)
loss = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)")
pred, target = torch.randn(16, 1, 2**18, requires_grad=True), torch.ones(16, 1, 2**18)
def train():
    time.sleep(0.5)
    loss(pred, target).backward()
    print("trained", flush=True)
threading.Thread(target=train).start()
atexit.register(train)
"""


def test_threads_train_on_once_the_main_thread_has_ended():
    ended = subprocess.run(
        [sys.executable, "-c", AFTER_THE_MAIN_THREAD],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout.split() == ["trained", "trained"], ended.stderr
    assert ended.returncode == 0


def test_what_is_shared_is_not_shared_again():
    """A loss inside of a loss runs on the thread that it is called in."""

    def inside() -> tuple[int, list[int]]:
        return threading.get_ident(), each(threading.get_ident, MANY, CPU)

    for own, within in each(inside, MANY, CPU):
        assert own != threading.get_ident()
        assert set(within) == {own}


def test_inference_mode_and_no_gradients():
    assert not any(each(torch.is_inference_mode_enabled, MANY, CPU))
    assert not any(each(torch.is_grad_enabled, MANY, CPU))
    with torch.inference_mode():
        assert all(each(torch.is_inference_mode_enabled, MANY, CPU))
        loss = losslang.compile("0.5*bce(sigmoid) + dice")
        pred, target = torch.randn(16, 1, 2**18), torch.ones(16, 1, 2**18)
        value = loss(pred, target)
    torch.testing.assert_close(value, loss(pred, target))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_that_is_forked_off_has_a_team_of_its_own():
    """As the workers of a loader: threads do not outlive a fork."""
    each(int, MANY, CPU)
    child = os.fork()
    if child == 0:
        os._exit(0 if not team.TEAMS and not any(each(int, MANY, CPU)) and team.TEAMS else 1)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for threads that it has not")
    assert os.waitstatus_to_exitcode(status) == 0


def test_blocks_grow_with_the_threads_of_each(monkeypatch: pytest.MonkeyPatch):
    """Of 16 threads of torch each of a team has two, which share operations of twice the size."""
    asked, of = list[int](), block_sizes.AutogradEvaluator.of
    monkeypatch.setattr(
        block_sizes.AutogradEvaluator, "of", lambda *given: asked.append(given[-1]) or of(*given)
    )
    monkeypatch.setattr(team, "MOST", 2)
    monkeypatch.setattr(team, "TEAMS", {})
    for module in (team, block_sizes):
        monkeypatch.setattr(module, "FEWEST", 2)
    pred, target = torch.randn(4, 3, 4, 2**16, requires_grad=True), torch.randint(3, (4, 4, 2**16))
    found: list[torch.Tensor] = []
    for threads in (2, 4, 3):
        torch.set_num_threads(threads)
        # A text of its own: programs of one text share what they have made.
        loss = losslang.compile(f"ce + dice + {threads}*0")
        found.append(torch.autograd.grad(loss(pred, target), pred)[0])
    assert asked == [2**19, 2**20, 2**19]
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


@pytest.mark.parametrize(
    ("threads", "elements", "size"),
    [(1, 2**18, 2**18), (1, 2**26, 2**18), (2, 2**22 - 1, 2**20), (2, 2**22, 2**18), (16, 2**23, 2**19)],
)
def test_blocks_that_torch_shares_are_larger(threads: int, elements: int, size: int):
    torch.set_num_threads(threads)
    assert block_sizes.block("sigmoid", elements, False) == size


def test_a_walk_of_few_blocks_has_the_numbers_of_one_thread():
    """Below the sizes of teams torch shares sums among its threads, which decides their last digits."""
    pred, target = torch.randn(3, 1, 700, 1000, requires_grad=True), torch.rand(3, 1, 700, 1000).round()
    text = "0.5*bce(sigmoid) + dice(smooth=1)"
    assert "in blocks" in ways(text, pred, target)
    found: list[tuple[torch.Tensor, ...]] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        value = losslang.compile(text + f" + {threads}*0")(pred, target)
        found.append((value.detach(), *torch.autograd.grad(value, pred)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=0)
    torch.set_num_threads(2)
    torch.testing.assert_close(
        losslang.compile(text)(pred, target), losslang.compile(text)(pred, target), rtol=0, atol=0
    )
