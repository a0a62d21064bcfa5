import pytest

open("test_a.py", "w").write("import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_x(x, tmp_path):\n    (tmp_path / 'f').write_text('a')\n    assert x\n")
import contextlib, io

with contextlib.redirect_stdout(io.StringIO()):
    status = pytest.main(["-q", "-p", "no:cacheprovider", "test_a.py"])
print(int(status))
