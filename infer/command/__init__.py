"""What a command is told and what it answers: inputs, output, labels, exit status.

parser, option_values     command lines, and the values of options
*_options                 options that several commands share
inputs                    what was named, as videos; `folder_scan`, `name_lists`: of folders, lists
labels                    their true classes
named_bundle              the bundle, and whether this machine reads videos as it needs
delivery                  from the network to the output; `journal`: what a stopped run keeps
target, output, pictures  where results go, their formats, annotated videos and contact sheets
runner, missing           errors, signals, exit status; packages that are not installed
"""
