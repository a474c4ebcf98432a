import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from clinical_modernbert.errors import DataError
from clinical_modernbert.tokenization import encode_batches, train, workers

TEXTS = ["Fever and cough.", "", "   \n\n x", "a\ud800b", "naïve \u200d zero\x00", "Fever again and again. " * 50]


@pytest.fixture(scope="module")
def tokenizer():
    return train(["Fever and cough and fever."] * 5, 280)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_give_the_same_ids_in_the_same_order(tokenizer, processes):
    batches = [TEXTS[: 1 + number % 6] * (1 + number % 3) for number in range(20)]
    result = list(encode_batches(tokenizer, batches, processes))
    for batch, ids in zip(batches, result, strict=True):
        for one, expected in zip(ids, tokenizer.encode_batch(batch), strict=True):
            assert one.dtype == np.int64
            assert one.tolist() == expected.tolist()


def test_nothing_to_encode(tokenizer):
    assert list(encode_batches(tokenizer, [], 2)) == []


def test_no_process_is_left_when_the_caller_stops_early(tokenizer, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1])
    stream = encode_batches(tokenizer, (TEXTS for _ in range(1000)), 2)
    next(stream)
    stream.close()
    assert [process.poll() is not None for process in started] == [True, True]


def test_a_process_that_is_killed_is_one_clear_error(tokenizer, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[-1])

    def batches():
        yield TEXTS
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait()
        yield from [TEXTS] * 20

    with pytest.raises(DataError, match="ended from outside"):
        list(encode_batches(tokenizer, batches(), 2))


def test_a_script_without_a_main_guard_may_use_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from clinical_modernbert.tokenization import encode_batches, train\n"
        "print(sum(len(ids) for batch in encode_batches(train(['a b'] * 3, 262), [['a b c']] * 4, 2) for ids in batch))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 4 * 3
    assert done.stderr == ""
