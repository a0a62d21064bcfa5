import click
from click.testing import CliRunner


@click.command()
@click.option("--n", default=1)
@click.argument("name")
def hello(n, name):
    click.echo(f"{name} " * n)


print(CliRunner().invoke(hello, ["--n", "2", "x"]).output, CliRunner().invoke(hello, ["--n", "q", "x"]).exit_code)
