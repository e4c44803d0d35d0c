"""The whole path: directory in, one file, directory out; and the account of every bit."""
