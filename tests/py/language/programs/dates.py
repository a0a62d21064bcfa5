"""Date arithmetic: easter, ISO weeks, leap years, recurring dates, time zones, parsing and formatting."""

import time
from datetime import date, datetime, timedelta, timezone, tzinfo


def easter(year):
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


class Fixed(tzinfo):
    def __init__(self, hours, name):
        self.offset, self.name = timedelta(hours=hours), name

    def utcoffset(self, moment):
        return self.offset

    def dst(self, moment):
        return timedelta(0)

    def tzname(self, moment):
        return self.name


class Anniversary(date):
    def age(self, today):
        return today.year - self.year - ((today.month, today.day) < (self.month, self.day))


print([str(easter(year)) for year in (1999, 2000, 2024, 2038)])
print([year for year in range(1896, 1913) if (date(year, 3, 1) - date(year, 2, 28)).days == 2])
print(date(2020, 12, 31).isocalendar()[:2], date(2021, 1, 3).isocalendar()[1], date(2024, 2, 29).strftime("%A %d %B %Y"))
moment = datetime(2024, 3, 31, 1, 30, tzinfo=timezone.utc)
print(moment.astimezone(Fixed(5.5, "IST")).isoformat(), moment.astimezone(Fixed(-8, "PST")).strftime("%H:%M %Z"))
print(datetime.strptime("29 Feb 2024 23:59", "%d %b %Y %H:%M") + timedelta(minutes=1))
print(datetime.fromisoformat("2011-11-04T00:05:23+04:00").astimezone(timezone.utc))
print(Anniversary(1990, 6, 15).age(date(2024, 6, 14)), Anniversary(1990, 6, 15).age(date(2024, 6, 15)))
print(max(timedelta(days=1), timedelta(hours=25)), timedelta(days=10) / timedelta(days=3), -timedelta(1))
fridays = [date(2024, month, 13) for month in range(1, 13) if date(2024, month, 13).weekday() == 4]
print(fridays, (fridays[1] - fridays[0]).days)
print(time.strftime("%Y-%m-%d", time.gmtime(0)), time.gmtime(86400).tm_mday, time.mktime((2000, 1, 2, 0, 0, 0, 0, 2, 0)) > 0)
try:
    date(2023, 2, 29)
except ValueError as error:
    print("ValueError:", error)
