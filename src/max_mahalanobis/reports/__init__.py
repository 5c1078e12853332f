"""From rows of evidence to tables, figures, sentences and one page; works where torch is not installed."""
