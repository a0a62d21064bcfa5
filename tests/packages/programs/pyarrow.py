import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq

table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
pq.write_table(table, "t.parquet")
pyarrow.csv.write_csv(table, "t.csv")
print(pq.read_table("t.parquet").equals(table), pyarrow.csv.read_csv("t.csv").num_rows, pc.sum(table["a"]))
print(pyarrow.dataset.dataset("t.parquet").to_table(filter=pc.field("a") > 1).num_rows)
