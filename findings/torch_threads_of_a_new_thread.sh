#!/usr/bin/env bash
# torch 2.13.0 on a CPU: a new thread that calls torch.set_num_threads(1) before anything else may compute with more.
#
# The number lasts until the thread first asks or computes something. It takes the number of the process then, and
# another thread may have set that meanwhile: each worker of a pool that sets its own number can lose it to the
# next. A thread that asks torch.get_num_threads() first, and sets the number after, keeps it.
# Exits 1 if the number of the first thread is kept.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import sys
import threading

import torch


def threads_of_one(asks_first: bool) -> int:
    """The number that a thread has which set 1, while the main thread set 2 after it."""
    is_set, others_have_set, found = threading.Event(), threading.Event(), []

    def work() -> None:
        if asks_first:
            torch.get_num_threads()
        torch.set_num_threads(1)
        is_set.set()
        others_have_set.wait()
        found.append(torch.get_num_threads())

    worker = threading.Thread(target=work)
    worker.start()
    is_set.wait()
    torch.set_num_threads(2)
    others_have_set.set()
    worker.join()
    return found[0]


lost, kept = threads_of_one(asks_first=False), threads_of_one(asks_first=True)
print(f"set to 1 by a new thread: {lost}; by one that asked for its number before: {kept}")
assert kept == 1
sys.exit(lost != 2)
PYTHON
