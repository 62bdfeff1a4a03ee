"""One module for each promise: `check(history)` yields a sentence for each time it was broken."""
