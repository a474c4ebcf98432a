import errno
import os

import pytest

from clinical_modernbert.cli.failures import describe


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.EROFS, errno.EIO])
def test_an_operating_system_error_names_the_path_and_a_remedy(number: int) -> None:
    line = describe(OSError(number, os.strerror(number), "corpus/train"))
    what, remedy = line.split(" (corpus/train). ")
    assert what == os.strerror(number).lower()
    assert remedy.endswith(".")


def test_a_full_disk_is_recognised_in_errors_of_rust_libraries() -> None:
    assert describe(RuntimeError("I/O error: No space left on device (os error 28)")).startswith("no space left on device")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has this device")
def test_a_full_disk_is_told_as_such() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        os.write(full, b"x")
    os.close(full)
    assert "Free some disk space" in describe(caught.value)


def test_a_missing_library_is_named() -> None:
    assert "'fastapi'" in describe(ModuleNotFoundError("No module named 'fastapi'", name="fastapi"))
