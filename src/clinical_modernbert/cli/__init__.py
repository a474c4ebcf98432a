"""In: what a user types. Out: one call into a room; results on stdout, progress and logs on stderr, an exit code.

Next: nothing imports the command line. Heavy libraries are imported inside of commands, so that help answers at once.
"""
