from datetime import datetime
from zoneinfo import ZoneInfo

import pytz
import tzdata

print(pytz.timezone("Asia/Tokyo").localize(datetime(2024, 1, 1)), datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")), tzdata.__name__)
