"""Reading of videos in processes with limits of time and memory."""
