"""The `wedsync` command."""


def main() -> None:
    """Run the command line and end the process: 0 ok, 1 error, 2 wrong usage."""
    from wedsync.cli.app import app  # noqa: PLC0415 - `import wedsync.cli` stays free of typer

    app()
