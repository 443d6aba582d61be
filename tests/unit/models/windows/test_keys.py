import subprocess
import sys
from pathlib import Path

import pytest

from models.windows.keys import MISSING, keys_of

# https://github.com/veorq/SipHash/blob/master/vectors.h: of the bytes 0, 1, 2, ... up to a length


def of_length(length):
    return bytes(range(length)).decode("ascii")


@pytest.mark.parametrize(("length", "digest"), [(1, "fd67dc93c539f874"), (8, "6224939a79f5f593")])
def test_keys_are_the_published_vectors(length, digest):
    assert int(keys_of([of_length(length)])[0]).to_bytes(8, "little", signed=True).hex() == digest


def test_a_key_does_not_depend_on_what_stands_beside_it():
    texts = ["", "4929", "a longer one than eight bytes", "Ångström", None, "4929"]
    keys = keys_of(texts)
    assert keys[0] == keys[4] == MISSING
    assert keys[1] == keys[5]
    assert [int(keys_of([text])[0]) for text in texts] == keys.tolist()
    assert len({*keys.tolist()}) == 4


def test_nothing_that_computes_no_windows_imports_the_compiler():
    program = "import sys, models.windows, models.training, stream_app.worker; print('numba' in sys.modules)"
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
