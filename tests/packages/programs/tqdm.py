import sys

from tqdm import tqdm

print(sum(tqdm(range(1000), file=sys.stderr)), len(list(tqdm([1, 2], disable=True))))
