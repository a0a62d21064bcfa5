import pytest

open("test_a.py", "w").write("import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_x(x, tmp_path):\n    (tmp_path / 'f').write_text('a')\n    assert x\n")
print(int(pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", "--no-summary", "-rN", "--capture=no", "test_a.py"])))
