"""What a command is told and what it answers: inputs, output, labels, exit status."""
