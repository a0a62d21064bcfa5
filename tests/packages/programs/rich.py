from rich.console import Console
from rich.table import Table

table = Table(title="t")
table.add_column("a")
table.add_row("[bold]x[/]")
console = Console(width=40)
console.print(table, {"k": [1, 2]})
