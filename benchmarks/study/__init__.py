"""What DML brings over several seeds, on the untouched test list."""
