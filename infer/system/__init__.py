"""Errors, files, hardware, signals, terminals.

errors, log              what a person is told
files, limited_files     files that are written whole; files of others, read within limits
strict_json              JSON of others; `whole_numbers`: in it and in arguments
cache, environment       the folder for answers that are kept; variables that are set for a while
hardware                 processors
terminal, signals        standard streams; the end of a command that is told to end
subprocess_call          a question in a process of its own; `abandoned`: threads that never end
addresses                what is an address and no file
"""
