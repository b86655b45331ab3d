"""Plain columns in, Arrow out. It needs pyarrow (extra `arrow`), which is imported when a table is asked for."""
