"""The symbolic tier's processes: killed when late, replaced when dead, gone with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mmpr.answers import match
from mmpr.answers.formula.parser import parse_formula
from mmpr.answers.prover import pool

TRUE = (parse_formula(r"\sqrt{3+2\sqrt{2}}"), parse_formula(r"1+\sqrt{2}"))
FALSE = (parse_formula(r"\sqrt{3+2\sqrt{2}}"), parse_formula(r"1+\sqrt{3}"))
SLOW = (
    parse_formula(r"\sqrt{\sqrt{\sqrt{2+x^{19}}+y^{17}}+3}^{23}(x+y+z+1)^{20}"),
    parse_formula(r"\sqrt{2}(x+y+z)^{24}(x+1)^{24}"),
)


@pytest.fixture(autouse=True)
def _fresh_pool():
    pool.forget()
    yield
    pool.forget()


def _workers():
    return pool.processes.pids()


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def _gone(pid, within_s=10.0):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if not _alive(pid):
            return True
        time.sleep(0.05)
    return False


def test_proofs():
    assert pool.prove_equal(*TRUE, limit_s=20) is True
    assert pool.prove_equal(*FALSE, limit_s=20) is False


def test_a_late_worker_is_killed_and_the_next_proof_works():
    pool.prove_equal(*TRUE, limit_s=20)
    (pid,) = _workers()
    start = time.monotonic()
    with pytest.raises(pool.SymbolicTimeoutError):
        pool.prove_equal(*SLOW, limit_s=0.3)
    assert time.monotonic() - start < 2
    assert _gone(pid)
    assert pool.prove_equal(*FALSE, limit_s=20) is False


def test_a_worker_that_died_between_two_proofs_is_replaced():
    pool.prove_equal(*TRUE, limit_s=20)
    (pid,) = _workers()
    os.kill(pid, signal.SIGKILL)
    assert _gone(pid)
    assert pool.prove_equal(*FALSE, limit_s=20) is False


def test_a_crash_is_an_error_and_a_late_proof_a_timeout_never_incorrect(monkeypatch):
    def late(*_):
        raise pool.SymbolicTimeoutError("no proof")

    def crash(*_):
        raise pool.SymbolicCrashError("died")

    pair = (r"4\cos\frac{\pi}{5}", r"1+\sqrt{5}")
    monkeypatch.setattr(pool, "prove_equal", late)
    assert match(*pair).status == "timeout"
    monkeypatch.setattr(pool, "prove_equal", crash)
    assert match(*pair).status == "error"
    monkeypatch.undo()
    assert match(*pair).status == "correct"  # neither was remembered


def test_works_off_the_main_thread_and_in_many_threads():
    results = []

    def work():
        for _ in range(3):
            results.append(pool.prove_equal(*TRUE, limit_s=20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 12
    assert len(_workers()) <= pool.MAX_WORKERS


def test_memory_of_a_worker_is_bounded():
    pool.prove_equal(*TRUE, limit_s=20)
    (pid,) = _workers()
    with open(f"/proc/{pid}/limits") as file:
        (line,) = [line for line in file if line.startswith("Max address space")]
    assert int(line.split()[3]) <= 1 << 30


def _in_child(queue):
    queue.put((pool.prove_equal(*TRUE, limit_s=20), match("5 cm", "5").status))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_works_in_children_however_they_start(method):
    pool.prove_equal(*TRUE, limit_s=20)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == (True, "correct")
    child.join()
    assert pool.prove_equal(*FALSE, limit_s=20) is False


def test_workers_leave_with_their_parent():
    script = (
        "from mmpr.answers.prover import pool\n"
        "from mmpr.answers.formula.parser import parse_formula as p\n"
        "pool.prove_equal(p('|x|'), p('x'), 20)\n"
        "print(*pool.processes.pids(), flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert _gone(pid)


def test_a_main_module_is_not_imported_again(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(
        "print('imported', flush=True)\n"
        "from mmpr.answers import match\n"
        "print(match(r'4\\cos\\frac{\\pi}{5}', r'1+\\sqrt{5}').status)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["imported", "correct"]


def test_importing_the_room_loads_no_heavy_library():
    script = (
        "import sys, mmpr.answers; print([m for m in ('sympy', 'torch', 'ray', 'pyarrow', 'vllm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
