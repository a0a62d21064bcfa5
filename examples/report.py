"""A text report over a web server's log: report.py LOG"""

import collections
import re
import sys

LINE = re.compile(r'(\S+) \S+ \S+ \[\S+?:(\d\d):\S+ \S+\] "GET (\S+) [^"]*" (\d{3}) (\d+|-)$')

pages = collections.Counter()
hours = collections.Counter()
status = collections.Counter()
visitors = set()
volume = unreadable = 0

with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        match = LINE.match(line)
        if not match:
            unreadable += 1
            continue
        address, hour, page, code, size = match.groups()
        visitors.add(address)
        pages[page] += 1
        hours[int(hour)] += 1
        status[code] += 1
        volume += int(size) if size != "-" else 0

print(f"{sum(pages.values())} requests by {len(visitors)} visitors, {volume / 1e6:.1f} MB, {unreadable} unreadable")
print("status  " + "  ".join(f"{code}: {count}" for code, count in sorted(status.items())))
print("pages")
for page, count in pages.most_common(4):
    print(f"  {count:4}  {page}")
print("hours   " + "".join(" .:-=+*#%@"[round(9 * hours[hour] / max(hours.values()))] for hour in range(24)) + "  (0 to 23)")
