"""What the networks learn from: lists, clips, augmentation, batches."""
