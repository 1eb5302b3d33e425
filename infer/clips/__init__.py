"""From a video file to the pixels that a network sees.

preprocess               what all others serve: a file's clips, scaled and cropped; begin here
spec                     what happens to a video, as a record
sampling, time_stamps    which frames are taken; when they are shown
decode                   frames of a file; `needed`: selective decoding of it
frames_or_errors         what a decoder makes of packets; `shown_frames`: the same for streams
rgb, pixel_aspect        frames as a player shows them
resize                   the filters
frames_folder            numbered pictures instead of a file; `picture_names`, `pictures`
array_file               NumPy arrays instead of a file
jpeg, contact_sheet      frames to look at
"""
