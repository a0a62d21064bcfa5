"""Text processing: word counts, justification, a CSV reader, Levenshtein, Huffman codes, a Markov chain."""

import hashlib
import itertools
import random
import re
import unicodedata

TEXT = """The quick brown fox jumps over the lazy dog. The dog sleeps; the fox does not.
"Why," asked the dog, "do you jump?" -- «Parce que», said the fox, «ça m'amuse». Ünïcödé tööö!"""


def words(text):
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())


def justify(text, width):
    line, length = [], 0
    for word in text.split():
        if length + len(word) + len(line) > width:
            for i in range(width - length):
                line[i % (len(line) - 1 or 1)] += " "
            yield "".join(line)
            line, length = [], 0
        line.append(word)
        length += len(word)
    yield " ".join(line)


def parse_csv(text):
    for line in text.splitlines():
        yield [quoted.replace('""', '"') if quoted else plain
               for quoted, plain in re.findall(r'(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))', line)]


def distance(a, b):
    row = range(len(b) + 1)
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def huffman(counts):
    heap = sorted((n, i, {c: ""}) for i, (c, n) in enumerate(sorted(counts.items())))
    tick = itertools.count(len(heap))
    while len(heap) > 1:
        (n, _, left), (m, _, right), *heap = heap
        codes = {c: "0" + code for c, code in left.items()} | {c: "1" + code for c, code in right.items()}
        heap = sorted([*heap, (n + m, next(tick), codes)], key=lambda entry: entry[:2])
    return heap[0][2]


counts = {}
for word in words(TEXT):
    counts[word] = counts.get(word, 0) + 1
print(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:4])
print("\n".join(justify(TEXT, 30)))
print(list(parse_csv('a,"b ""quoted"", c",d\n1,,3')))
print(distance("kitten", "sitting"), distance("", "abc"))
codes = huffman({c: TEXT.count(c) for c in set(TEXT)})
print(sum(len(codes[c]) for c in TEXT), len(codes["e"]) <= len(codes["z"]))
print(unicodedata.normalize("NFD", "é").encode("ascii", "backslashreplace"), unicodedata.name("\N{SNOWMAN}"))
print("".join(c for c in unicodedata.normalize("NFKD", "Ünïcödé") if not unicodedata.combining(c)))
print(hashlib.sha256(TEXT.encode()).hexdigest()[:16], hashlib.md5(b"x").hexdigest())
rng = random.Random(7)
chain = {}
for a, b in itertools.pairwise(words(TEXT)):
    chain.setdefault(a, []).append(b)
word, out = "the", []
for _ in range(8):
    out.append(word)
    word = rng.choice(chain.get(word, ["the"]))
print(" ".join(out))
print(re.sub(r"(?P<a>\w+) (?P<b>\w+)", lambda m: f"{m['b']} {m['a']}", "one two three four"), re.split(r"[;,]\s*", "a; b,c"))
print("tschüß".upper(), "ß".casefold(), "ǅ".title(), "ﬁ".upper(), "İ".lower() == "i̇", "%r %a" % ("ü", "ü"))
