"""Long videos and live sources, a window at a time: `clipduet stream`.

__main__   the command; `options`: its command line
source     files, cameras and addresses, as they are opened
reader     their frames, also after a source went away, as windows and gaps; `cut`: the windows
classify   windows through the network; live sources are read in a thread
events     windows of one class in a row
records    what is written, in each format; `append`: at the end of an earlier file
annotated  the video with the answers drawn on it
"""
