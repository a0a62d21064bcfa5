from hypothesis import given, settings, strategies as st

seen = []


@settings(max_examples=50, derandomize=True, database=None)
@given(st.lists(st.integers()))
def check(values):
    seen.append(values)
    assert sorted(sorted(values)) == sorted(values)


check()
print(len(seen) >= 10)
