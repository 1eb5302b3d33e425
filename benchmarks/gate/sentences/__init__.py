"""What the gate found, in words: a sentence for each verdict, and what it rests on."""
