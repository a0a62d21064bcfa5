"""Files of holes cost nothing where they lie, and all they say where they are collected."""
for n in range(60):
    with open(f"/work/f{n}", "wb") as file:
        file.truncate(7 * MIB)
