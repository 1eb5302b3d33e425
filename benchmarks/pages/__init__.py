"""Reports as sections of sentences, tables and plots, rendered as Markdown and HTML."""
