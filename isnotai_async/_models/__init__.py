"""Records, pages, queries and positions: plain values, without a loop, a clock or randomness."""
