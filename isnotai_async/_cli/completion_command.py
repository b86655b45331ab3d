"""The command `isnotai completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

import sys
from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Write a completion script for a shell to stdout.

    Write it into a file that the shell reads when it starts.

    For bash, with the package bash-completion: d=~/.local/share/bash-completion/completions; mkdir -p $d &&
    isnotai completion bash > $d/isnotai

    For zsh: _isnotai in a folder of $fpath

    For fish: mkdir -p ~/.config/fish/completions && isnotai completion fish > ~/.config/fish/completions/isnotai.fish

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from isnotai_async._cli.app import app  # that module has the table with this command in it

    sys.stdout.write(app.generate_completion(shell=shell))
