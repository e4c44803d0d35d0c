"""The command line: one module a command; the work is done by the packages below."""
