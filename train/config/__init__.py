"""One experiment: read from YAML, checked, with every mistake told at once.

load                     reads a config; begin here
schema/                  all blocks and settings, with their defaults and limits
yaml_file, yaml_text     a file with its bases, overrides and environment; the text of one file
merge                    settings on top of inherited ones
checks                   what must fit together; `model_checks`, `loss_checks`: within MODEL;
                         `blocks`: what all three compare
errors                   mistakes, and the one message that tells them
class_count, class_file  the number of classes and their names
weights_by_name          what `pretrained: imagenet` and `pretrained: embedded` mean
networks, identity       the networks of a config by role; what of it a run's result depends on
options                  options of commands about configs and checkpoints
run_folder, list_format  names of files and formats, for those who read no config
"""
