"""What the networks learn from: lists, clips, augmentation, batches.

From a config to batches:

splits                   the datasets of a config
lists, fingerprint       the clips of a list, each wrong line told; a checksum of all of them
dataset, augment/        one clip as pixels; random changes to it
loader, mix              the batches of an epoch; clips of a batch mixed with each other
balance, class_table     classes of unequal size; how many clips each has
unreadable, first_frame  how many clips may be unreadable; whether one can be read

From clips to lists:

folders, class_folders   from folders by class
prepare/, motions/       of public datasets; of the embedded dataset, which is drawn
folds, fold_lists        cross-validation; its lists as files
clip_set                 all clips of a set, whatever lists name them
grouped_split, groups    parts that share no camera or person; which clips have what in common
near_duplicates          clips that look the same
dataset_block            the DATASET block for lists
processes                work on many files in processes
"""
