from datetime import date

from pydantic import BaseModel, Field, ValidationError


class Item(BaseModel):
    name: str
    price: float = Field(gt=0)
    day: date


print(Item.model_validate_json('{"name": "a", "price": 2, "day": "2024-01-02"}').model_dump_json())
try:
    Item(name="a", price=-1, day="x")
except ValidationError as error:
    print(error.error_count())
print(sorted(Item.model_json_schema()["properties"]))
