"""Classify more videos than one machine can, on Ray Data: `clipduet corpus --bundle B`.

One process, the driver, knows what is to be done and is the only one that writes:

__main__   the command line
sources    what is to be answered: names of videos, or rows of Parquet files
parts      the output folder: files that are written whole; what is in them is done
cluster    Ray on this machine, or a cluster that runs already
run        the pipeline of Ray Data, and the answers on their way to the output
reading    tasks of Ray: videos to clips
network    actors of Ray: clips to answers
progress   how far it is

Ray may run a task twice, or lose a worker with what it did. The driver takes the first answer for
each name and asks again for what is missing, so each input is answered once whatever Ray does.
"""
