import duckdb

with duckdb.connect("d.db") as connection:
    connection.execute("create table t as select range x from range(1000)")
    print(connection.execute("select sum(x), avg(x) from t").fetchall())
    connection.execute("copy t to 't.parquet' (format parquet)")
print(duckdb.sql("select count(*) from 't.parquet'").fetchall())
