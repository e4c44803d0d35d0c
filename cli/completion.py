"""acncodec completion"""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_ACNCODEC_COMPLETE"  # as click names it


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script with which a shell completes acncodec's commands and options.

    For bash, add eval "$(acncodec completion bash)" to ~/.bashrc; for zsh, the same with zsh to ~/.zshrc; for fish, write
    the script to ~/.config/fish/completions/acncodec.fish.
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(completion(context.find_root().command, {}, "acncodec", VARIABLE).source())
