"""Reading an archive: what it lists, any of its files, all of them, and the account of every bit."""
