"""The command line: argument parsing and tables, nothing else."""
