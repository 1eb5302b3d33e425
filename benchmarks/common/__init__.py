"""What every benchmark needs: commands, errors, the machine, result files."""
